"""docker/Dockerfile as data: its stages, their instructions, and what each takes from where."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.workspace.paths import DOCKER

_FROM = re.compile(r"FROM (\S+)(?: AS (\S+))?$", re.IGNORECASE)
_COPY_FROM = re.compile(r"--from=(\S+)")


@dataclass(frozen=True)
class Instruction:
    """One instruction on one line, as BuildKit names its step; `line` is where it begins."""

    line: int
    text: str

    @property
    def takes(self) -> tuple[str, ...]:
        """The stages and contexts that it reads, a part of one as `locks/py-torch`."""
        found = []
        for word in self.text.split():
            if word.startswith("--mount="):
                fields = dict(
                    field.partition("=")[::2] for field in word.partition("=")[2].split(",")
                )
                if "from" in fields:
                    source = fields.get("source", "").strip("/")
                    found.append(f"{fields['from']}/{source}".rstrip("/"))
            elif match := _COPY_FROM.match(word):
                found.append(match[1])
        return tuple(found)


@dataclass(frozen=True)
class Stage:
    """A stage: the stage or context that it begins from, and what it does then."""

    name: str
    parent: str
    instructions: tuple[Instruction, ...]


def read() -> str:
    """Return the text of docker/Dockerfile."""
    return (DOCKER / "Dockerfile").read_text()


def stages(text: str) -> dict[str, Stage]:
    """Return the stages of a Dockerfile by name, in order; the last may have none, which is ''."""
    found: dict[str, Stage] = {}
    name = ""
    for instruction in _instructions(text):
        if match := _FROM.match(instruction.text):
            name = match[2] or ""
            found[name] = Stage(name, match[1], ())
        elif found:
            stage = found[name]
            found[name] = Stage(name, stage.parent, (*stage.instructions, instruction))
    return found


def _instructions(text: str) -> Iterator[Instruction]:
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        # A comment between the lines of one instruction is no part of it.
        if not stripped or stripped.startswith("#"):
            continue
        first = first if parts else number
        parts.append(stripped.removesuffix("\\").strip())
        if not stripped.endswith("\\"):
            yield Instruction(first, " ".join(parts))
            parts = []
