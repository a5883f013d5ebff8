"""A lockfile: a body, and a header that says which inputs it follows from."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from scripts.workspace.errors import BadInput
from scripts.workspace.paths import LOCKFILES, shown

TITLE = "# Made by `./nox -s lock`. Do not edit: change the inputs and lock again."
INPUT = "# input: "
DIGEST = "# digest: "


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
        inputs = [f"{INPUT}{name} = {value}\n" for name, value in sorted(self.inputs.items())]
        head = "".join(inputs)
        return f"{TITLE}\n{head}{DIGEST}{digest(head + self.body)}\n{self.body}"


def digest(text: str) -> str:
    """Return the digest of a text as lockfiles write it."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def digest_of_all(files: Mapping[str, bytes]) -> str:
    """Return one SHA-256 over all lockfiles, by their names: what a build was made from."""
    seen = hashlib.sha256()
    for name in sorted(files):
        seen.update(name.encode() + b"\0" + files[name])
    return seen.hexdigest()


def read(path: Path) -> Lockfile:
    """Read a lockfile; raises BadInput when it is missing or was edited by hand."""
    if not path.exists():
        raise BadInput(f"{shown(path)} is missing.", hint="Run ./nox -s lock")
    return parse(path, path.read_bytes().decode(errors="replace"))


def parse(path: Path, text: str) -> Lockfile:
    """Return the lockfile that `text` is; raises BadInput when it was edited by hand."""
    header, _, rest = text.partition(f"\n{DIGEST}")
    body = rest.partition("\n")[2]
    fields = [line.partition(" = ") for line in header.split("\n") if line.startswith(INPUT)]
    found = Lockfile(path, {name.removeprefix(INPUT): value for name, _, value in fields}, body)
    # A header is as much of the lock as its body: what it adds would reach pip and uv.
    if found.text() != text:
        raise BadInput(
            f"{shown(path)} is not as `lock` wrote it: it was edited or cut off.",
            hint=f"Run ./nox -s lock, or take it back: git checkout {shown(path)}",
        )
    return found


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
class File:
    """The file that a target installs of a package; `size` in bytes, `uploaded` in UTC.

    For a universal lock it is that of the images' platform, for the first Python that needs it.
    """

    name: str
    size: int
    uploaded: date


@dataclass(frozen=True)
class Pin:
    """One package of a lock, by its canonical name.

    `requirement` is the line without hashes, `via` what asks for the package: other packages, and
    .in files as `-r FILE`. There is no `file` of what only other platforms install.
    """

    name: str
    version: str
    requirement: str
    hashes: tuple[str, ...]
    via: tuple[str, ...] = ()
    file: File | None = None

    @property
    def text(self) -> str:
        """What an installer reads."""
        return (
            " \\\n".join([self.requirement, *(f"    --hash={each}" for each in self.hashes)]) + "\n"
        )

    @property
    def entry(self) -> str:
        """What the lockfile holds: the text, and as comments what a person asks about it."""
        notes = [f"    # via {each}\n" for each in self.via]
        if self.file is not None:
            notes.append(
                f"    # file {self.file.name} {self.file.size} bytes {self.file.uploaded}\n"
            )
        return self.text + "".join(notes)


def pins(body: str) -> Iterator[Pin]:
    """Yield the packages of a requirements lock, as `uv pip compile` or `Pin.entry` writes it.

    Raises BadInput for one that is not pinned with `==` or has no hash: pip and uv would refuse
    it in a build that takes minutes to get there.
    """
    lines = [line for line in body.splitlines() if line and not line.startswith("#")]
    for entry in re.split(r"\n(?=\S)", "\n".join(lines)):
        if entry:
            yield _pin([line.strip().removesuffix("\\").strip() for line in entry.split("\n")])


def _pin(lines: list[str]) -> Pin:
    head = lines[0]
    try:
        requirement = Requirement(head)
    except InvalidRequirement:
        raise BadInput(f"the lock holds {head!r}, which is no package with a version.") from None
    versions = [each.version for each in requirement.specifier if each.operator == "=="]
    hashes = tuple(line.removeprefix("--hash=") for line in lines[1:] if line.startswith("--hash="))
    if len(versions) != 1 or not hashes:
        raise BadInput(f"the lock holds {head!r}, which is not pinned by version and hash.")
    # uv writes one reason behind `# via`, and several below it.
    notes = [line.removeprefix("#").strip() for line in lines[1:] if line.startswith("#")]
    files = [note.split()[1:] for note in notes if note.startswith("file ")]
    reasons = [note.removeprefix("via").strip() for note in notes if not note.startswith("file ")]
    return Pin(
        name=canonicalize_name(requirement.name),
        version=versions[0],
        requirement=head,
        hashes=hashes,
        via=tuple(reason for reason in reasons if reason),
        file=_file(head, files[0]) if files else None,
    )


def _file(head: str, words: list[str]) -> File:
    try:
        name, size, _, day = words
        return File(name, int(size), date.fromisoformat(day))
    except ValueError:
        raise BadInput(f"the lock says of {head!r} what is no file with size and day.") from None


def locked(name: str) -> list[Pin]:
    """Return the packages of a lockfile, e.g. `worker-py3.11`."""
    return list(pins(read(LOCKFILES / f"{name}.txt").body))
