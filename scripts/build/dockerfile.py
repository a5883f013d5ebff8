"""docker/Dockerfile as data: its stages, their instructions, and what each takes from where."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import dropwhile
from pathlib import PurePosixPath

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
                fields = _fields(word)
                if "from" in fields:
                    source = fields.get("source", "").strip("/")
                    found.append(f"{fields['from']}/{source}".rstrip("/"))
            elif match := _COPY_FROM.match(word):
                found.append(match[1])
        return tuple(found)

    @property
    def copies(self) -> tuple[str, ...]:
        """The paths of the build's own context that it reads, with their wildcards."""
        instruction, *words = self.text.split()
        if instruction.upper() in ("COPY", "ADD"):
            if any(_COPY_FROM.match(word) for word in words):
                return ()
            words = list(dropwhile(lambda word: word.startswith("--"), words))
            if words[0].startswith("["):
                words = json.loads(" ".join(words))
            return tuple(words[:-1])
        mounts = [_fields(word) for word in words if word.startswith("--mount=")]
        return tuple(
            each.get("source", ".")
            for each in mounts
            if each.get("type", "bind") == "bind" and "from" not in each
        )


def _fields(mount: str) -> dict[str, str]:
    return dict(field.partition("=")[::2] for field in mount.partition("=")[2].split(","))


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


def copied(files: Iterable[str], made: Iterable[Stage]) -> set[str]:
    """Return those of a context's files that stages copy from it, or mount."""
    patterns = [
        # What a variable stands for is not known: then every file may be meant.
        "*" if "$" in path else PurePosixPath(path.lstrip("/")).as_posix()
        for stage in made
        for instruction in stage.instructions
        for path in instruction.copies
    ]

    def meant(name: str) -> bool:
        path = PurePosixPath(name)
        folders = [each.as_posix() for each in (path, *path.parents)]
        return any(fnmatchcase(folder, pattern) for folder in folders for pattern in patterns)

    return {name for name in files if meant(name)}


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
