"""Why a package is in the locks: what asks for it, where, since when, how large."""

import difflib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from scripts.lock.layers import layer
from scripts.lock.lockfile import File, Pin, locked
from scripts.lock.resolve import asked, job
from scripts.workspace.errors import BadInput
from scripts.workspace.git import git
from scripts.workspace.model import Target, Workspace, targets
from scripts.workspace.paths import LOCKFILES, ROOT, shown


@dataclass(frozen=True)
class Place:
    """A package in one target.

    `chain` leads from an .in file to the package, `lines` are the lines that name it, and `since`
    is the commit that brought this version.
    """

    target: Target
    version: str
    marker: str
    via: tuple[str, ...]
    chain: tuple[str, ...]
    lines: tuple[str, ...]
    file: File | None
    layer: str | None
    since: str


def why(name: str, workspace: Workspace) -> list[Place]:
    """Return every place of a package; raises BadInput for one that no lock holds."""
    canonical = str(canonicalize_name(name))
    locks = {target: locked(target.name) for target in targets(workspace)}
    found = [
        place
        for target, pins in locks.items()
        for pin in pins
        if pin.name == canonical
        for place in [_place(pin, target, locks, workspace)]
    ]
    if found:
        return found
    known = {pin.name for pins in locks.values() for pin in pins}
    raise BadInput(f"no lock holds {name}. The nearest: {', '.join(near(canonical, known))}.")


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return the three names nearest to one that is not known: all would be hundreds."""
    return difflib.get_close_matches(name, sorted(known), n=3, cutoff=0)


def _place(
    pin: Pin, target: Target, locks: Mapping[Target, Sequence[Pin]], workspace: Workspace
) -> Place:
    task = job(workspace, target)
    # An extra of a package of the base is needed by that package, which only the base's lock holds.
    together = [*locks[target], *(locks[task.base] if task.base is not None else [])]
    return Place(
        target=target,
        version=pin.version,
        marker=pin.requirement.partition(";")[2].strip(),
        via=pin.via,
        chain=tuple(_chain(pin, {each.name: each for each in together})),
        lines=tuple(asked([pin.name], task.files)),
        file=pin.file,
        layer=layer(workspace, target.environment, pin.name),
        since=_since(pin, target),
    )


def _chain(pin: Pin, pins: Mapping[str, Pin]) -> list[str]:
    """Return the shortest way from an .in file to a package."""
    reached: dict[str, list[str]] = {pin.name: [f"{pin.name} {pin.version}"]}
    waiting = deque([pin])
    while waiting:
        current = waiting.popleft()
        for reason in current.via:
            chain = reached[current.name]
            if reason.startswith("-c "):
                continue  # It holds a version back and asks for nothing.
            if reason.startswith("-"):
                return [reason.partition(" ")[2], *chain]
            parent = pins.get(str(canonicalize_name(reason)))
            if parent is not None and parent.name not in reached:
                reached[parent.name] = [f"{parent.name} {parent.version}", *chain]
                waiting.append(parent)
    return reached[pin.name]


def _since(pin: Pin, target: Target) -> str:
    """Return the commit that brought the version: the last that changed whether it is there."""
    line = f"^{re.escape(pin.requirement.partition(';')[0].strip())}( |$)"
    path = shown(LOCKFILES / f"{target.name}.txt")
    # Of a version that HEAD does not have, the log would name the commit that removed it.
    if git("grep", "-qE", "-e", line, "HEAD", "--", path, folder=ROOT).returncode == 1:
        return "not committed yet"
    search = ("--pickaxe-regex", f"-S{line}")
    done = git("log", "-1", "--format=%cs %h %s", *search, "--", path, folder=ROOT)
    if done.returncode:
        return "not known: this is no git checkout"
    return done.stdout.strip() or "not committed yet"


def lines(places: Sequence[Place]) -> Iterator[str]:
    """Yield what a person reads: places that differ in nothing but the target stand together."""
    together: dict[tuple[object, ...], list[Place]] = {}
    for place in places:
        key = (
            *(place.version, place.marker, place.via, place.chain),
            *(place.lines, place.layer, place.since),
        )
        together.setdefault(key, []).append(place)
    for group in together.values():
        first = group[0]
        marker = f" where {first.marker}" if first.marker else ""
        yield f"{first.chain[-1]}{marker}"
        yield f"  in        {', '.join(place.target.name for place in group)}"
        yield f"  because   {' -> '.join(first.chain)}"
        for number, line in enumerate(first.lines):
            yield f"  {'asked at' if number == 0 else '':9} {line}"
        packages = [reason for reason in first.via if not reason.startswith("-")]
        if packages:
            yield f"  needed by {', '.join(packages)}"
        if first.layer is not None:
            yield f"  layer     {first.layer}"
        for file in dict.fromkeys(place.file for place in group):
            if file is not None:
                size = f"{file.size / 1e6:.1f} MB" if file.size >= 1e5 else f"{file.size} bytes"
                yield f"  file      {file.name}, {size}, uploaded {file.uploaded}"
        yield f"  since     {first.since}"
