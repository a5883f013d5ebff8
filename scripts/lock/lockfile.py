"""A lockfile: a body, and a header that says which inputs it follows from."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.workspace.errors import BadInput
from scripts.workspace.paths import shown

TITLE = "# Made by `./nox -s lock`. Do not edit: change the inputs and lock again."
INPUT = "# input: "
BODY = "# body: "


@dataclass(frozen=True)
class Lockfile:
    """A generated file with the inputs that it was computed from.

    `inputs` maps the name of an input (a file, a setting) to its value or digest.
    """

    path: Path
    inputs: Mapping[str, str]
    body: str

    def text(self) -> str:
        """Return the file's content: the same inputs and body give the same bytes."""
        header = [TITLE]
        header += [f"{INPUT}{name} = {value}" for name, value in sorted(self.inputs.items())]
        header += [f"{BODY}{digest(self.body)}", ""]
        return "\n".join(header) + self.body


def digest(text: str) -> str:
    """Return the digest of a text as lockfiles write it."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def read(path: Path) -> Lockfile:
    """Read a lockfile; raises BadInput when it is missing or was edited by hand."""
    if not path.exists():
        raise BadInput(f"{shown(path)} is missing.", hint="Run ./nox -s lock")
    inputs: dict[str, str] = {}
    lines = path.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith(INPUT):
            name, _, value = line.removeprefix(INPUT).partition(" = ")
            inputs[name] = value.rstrip("\n")
        elif line.startswith(BODY):
            body = "".join(lines[number + 1 :])
            if digest(body) != line.removeprefix(BODY).rstrip("\n"):
                raise BadInput(
                    f"{shown(path)} is not as `lock` wrote it: it was edited or cut off.",
                    hint="Run ./nox -s lock",
                )
            return Lockfile(path, inputs, body)
    raise BadInput(f"{shown(path)} has no header of ours.", hint="Run ./nox -s lock")


def changes(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return a sentence for each input that is not what the lockfile was computed from."""
    sentences = []
    for name in sorted(recorded.keys() | now.keys()):
        old, new = recorded.get(name), now.get(name)
        if old == new:
            continue
        if old is None:
            sentences.append(f"{name} is new")
        elif new is None:
            sentences.append(f"{name} is no longer an input")
        elif new.startswith("sha256:"):
            sentences.append(f"{name} changed")
        else:
            sentences.append(f"{name} changed from {old} to {new}")
    return sentences


@dataclass(frozen=True)
class Pin:
    """One package of a lock: its canonical name, its version, and its lines as they stand."""

    name: str
    version: str
    hashes: tuple[str, ...]
    text: str


def pins(body: str) -> Iterator[Pin]:
    """Yield the packages of a requirements lock, in order.

    Raises BadInput for one that is not pinned with `==` or has no hash: pip and uv would refuse
    it in a build that takes minutes to get there.
    """
    code = [line for line in body.splitlines() if line and not line.lstrip().startswith("#")]
    for entry in re.split(r"\n(?=\S)", "\n".join(code)):
        if not entry:
            continue
        head, *rest = re.split(r"\s*\\\n\s*", entry)
        requirement = Requirement(head)
        versions = [each.version for each in requirement.specifier if each.operator == "=="]
        hashes = tuple(part.strip().removeprefix("--hash=") for part in rest if "--hash=" in part)
        if len(versions) != 1 or not hashes:
            raise BadInput(f"the lock holds {head!r}, which is not pinned by version and hash.")
        yield Pin(canonicalize_name(requirement.name), versions[0], hashes, entry + "\n")
