"""The locks of past months, each resolved once and then kept under .workspace/cache/replay/."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, ValidationError

from scripts.bench.replay.pulls import Key, Snapshot, Wheel
from scripts.lock.lockfile import pins as packages_of
from scripts.lock.resolve import Job, compile_all, included, job
from scripts.workspace.errors import BadInput
from scripts.workspace.files import write_atomic
from scripts.workspace.model import Target, Workspace
from scripts.workspace.paths import CACHE

# Changed when what is kept of a month changes.
FORMAT = "2"
FLOORS = (">=", ">")
UNSOLVABLE = "No solution found"


class Locked(BaseModel):
    """What a target would have locked on a day.

    `without` are packages that its inputs ask for and were not asked here; `lifted` are the
    lower bounds of its inputs: all of them, where not every one could be met on that day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    target: str
    day: date
    without: tuple[str, ...]
    lifted: tuple[str, ...]
    packages: Mapping[str, Wheel]


@dataclass(frozen=True)
class Refused:
    """Why a target has no lock on a day."""

    target: str
    day: date
    reason: str


@dataclass(frozen=True)
class History:
    """What an image would have installed, day by day; days without a whole lock are left out."""

    days: Sequence[date]
    snapshots: Sequence[Snapshot]
    locks: Sequence[Locked]
    refused: Sequence[Refused]


Report = Callable[[Locked | Refused, bool], None]
"""Is told each month as it comes, and whether it had been resolved before."""


def month_ends(as_of: date, bumps: int) -> list[date]:
    """Return the last days of the newest months that are over at `as_of`: one more than `bumps`.

    Only whole months, so that every bump spans one, and a later `as_of` in the same month changes
    nothing.
    """
    day = as_of + timedelta(days=1)
    found: list[date] = []
    while len(found) <= bumps:
        day = day.replace(day=1) - timedelta(days=1)
        found.append(day)
    return found[::-1]


def replay(
    workspace: Workspace,
    targets: Sequence[Target],
    days: Sequence[date],
    without: Collection[str],
    report: Report,
) -> History:
    """Return the history of an image that installs all `targets`.

    `without` are packages that the inputs are taken not to ask for. What was resolved before is
    read, so a replay that was stopped goes on where it was. Raises Failure when the registry
    cannot be reached.
    """
    locks: list[Locked] = []
    refused: list[Refused] = []
    for target in targets:
        for day in days:
            found, known = _month(workspace.at(day), target, without)
            report(found, known)
            if isinstance(found, Locked):
                locks.append(found)
            else:
                refused.append(found)
    gaps = {each.day for each in refused}
    whole = [day for day in days if day not in gaps]
    return History(whole, [_snapshot(locks, targets, day) for day in whole], locks, refused)


def _snapshot(locks: Sequence[Locked], targets: Sequence[Target], day: date) -> Snapshot:
    environments = {target.name: target.environment for target in targets}
    return {
        Key(environments[lock.target], name): wheel
        for lock in locks
        if lock.day == day
        for name, wheel in lock.packages.items()
    }


def _month(
    workspace: Workspace, target: Target, without: Collection[str]
) -> tuple[Locked | Refused, bool]:
    """Return the lock of a target at the workspace's cutoff, and whether it was kept."""
    asked = job(workspace, target)
    gone = sorted(names(asked) & set(without))
    path = _path(asked, gone)
    if (kept := _read(path)) is not None:
        return kept, True
    day = workspace.lock.as_of
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = _resolve(asked, workspace, gone, Path(folder))
        except BadInput as reason:
            # Not kept: it takes no time to ask again, and a reason may be one of the moment.
            return Refused(target.name, day, reason.message.replace(f"{folder}/", "")), False
    write_atomic(path, found.model_dump_json(indent=1) + "\n")
    return found, False


def _path(asked: Job, without: Sequence[str]) -> Path:
    told = json.dumps([FORMAT, asked.inputs, without], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    return CACHE / "replay" / asked.target.name / f"{asked.inputs['as_of']}-{digest}.json"


def _read(path: Path) -> Locked | None:
    try:
        return Locked.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None  # not there, or of no use: it is resolved anew


def _resolve(asked: Job, workspace: Workspace, without: Sequence[str], folder: Path) -> Locked:
    """Resolve a job as it is, or else without its lower bounds if its day could not meet them all.

    An exact pin or an upper bound holds on any day. A lower bound says what the code of today
    needs; a past in which the release did not exist would be no past at all.
    """
    lifted: tuple[str, ...] = ()
    stated = asked
    if without:
        stated = _rewritten(asked, folder / "stated", lambda line: without_packages(line, without))
    try:
        body = _lock(stated, workspace)
    except BadInput as reason:
        floors = tuple(str(each) for each in requirements(stated) if _has_floor(each))
        if UNSOLVABLE not in reason.message or not floors:
            raise
        body = _lock(_rewritten(stated, folder / "lifted", without_floor), workspace)
        lifted = floors
    packages = {}
    for pin in packages_of(body):
        assert pin.file is not None  # only what a universal lock has for other platforms names none
        packages[pin.name] = Wheel(pin.version, pin.file.name, pin.file.size)
    return Locked(
        target=asked.target.name,
        day=workspace.lock.as_of,
        without=tuple(without),
        lifted=lifted,
        packages=packages,
    )


def _lock(asked: Job, workspace: Workspace) -> str:
    [made] = compile_all([asked], workspace, history=True)
    return made.body


def _rewritten(asked: Job, folder: Path, change: Callable[[str], str]) -> Job:
    """Return the job with copies of its .in files, below `folder`, each line of them changed."""
    files = included(asked.files)
    root = Path(os.path.commonpath([file.parent for file in files]))
    copies = {file: folder / file.relative_to(root) for file in files}
    for file, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("".join(f"{change(line)}\n" for line in file.read_text().splitlines()))
    return replace(asked, files=tuple(copies[file] for file in asked.files))


def without_packages(line: str, names: Collection[str]) -> str:
    """Return a line of an .in file, or nothing where it asks for one of the packages."""
    requirement = _requirement(line)
    asks = requirement is not None and canonicalize_name(requirement.name) in names
    return "" if asks else line


def without_floor(line: str) -> str:
    """Return a line of an .in file without its lower bounds; any other line as it is."""
    requirement = _requirement(line)
    if requirement is None or not _has_floor(requirement):
        return line
    kept = [str(each) for each in requirement.specifier if each.operator not in FLOORS]
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}{extras}{','.join(sorted(kept))}{marker}"


def _has_floor(requirement: Requirement) -> bool:
    return any(each.operator in FLOORS for each in requirement.specifier)


def requirements(asked: Job) -> Iterator[Requirement]:
    """Yield what the .in files of a job ask for."""
    for file in included(asked.files):
        for line in file.read_text().splitlines():
            if (requirement := _requirement(line)) is not None:
                yield requirement


def names(asked: Job) -> frozenset[str]:
    """Return the packages that the .in files of a job ask for."""
    return frozenset(canonicalize_name(each.name) for each in requirements(asked))


def exact(asked: Job) -> frozenset[str]:
    """Return the packages that an .in file of a job holds at one version."""
    return frozenset(
        canonicalize_name(each.name)
        for each in requirements(asked)
        if any(specifier.operator == "==" for specifier in each.specifier)
    )


def _requirement(line: str) -> Requirement | None:
    try:
        return Requirement(line.split("#")[0].strip())
    except InvalidRequirement:
        return None  # an option, a comment, or nothing
