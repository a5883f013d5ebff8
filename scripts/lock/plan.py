"""What the inputs ask for, held against the lockfiles that are there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.lock import pins, resolve
from scripts.lock.lockfile import TITLE, Lockfile, changes, read
from scripts.lock.lookup import ONLY_MISSING, LookUp
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Workspace, targets
from scripts.workspace.paths import LOCKFILES, shown


@dataclass(frozen=True)
class Plan:
    """What the inputs ask for, and why each lockfile is not that; `surplus` nobody asks for."""

    jobs: Sequence[resolve.Job]
    tables: Mapping[Path, Mapping[str, str]]
    late: Mapping[Path, Sequence[str]]
    surplus: Sequence[Path]

    @property
    def total(self) -> int:
        """The number of lockfiles that are asked for."""
        return len(self.jobs) + len(self.tables)


def plan(workspace: Workspace, *, again: bool = False) -> Plan:
    """Hold the lockfiles against the inputs; nothing is asked of anybody.

    With `again` no lockfile of packages counts as what the inputs ask for.
    """
    jobs = [resolve.job(workspace, target) for target in targets(workspace)]
    tables = pins.inputs(workspace)
    asked = {each.path: each.inputs for each in jobs} | tables
    surplus = sorted(path for path in present() if path not in asked)
    reasons = {path: stale(path, inputs) for path, inputs in asked.items()}
    if again:
        reasons |= {each.path: ["is asked for again"] for each in jobs if not reasons[each.path]}
    reasons |= {path: ["no target asks for it any more"] for path in surplus}
    return Plan(jobs, tables, {path: why for path, why in reasons.items() if why}, surplus)


def stale(path: Path, inputs: Mapping[str, str]) -> list[str]:
    """Return why a lockfile does not follow from these inputs; empty when it does."""
    try:
        return changes(read(path).inputs, inputs)
    except BadInput as reason:
        return [reason.message.removeprefix(f"{shown(path)} ").rstrip(".")]


def present() -> dict[Path, str]:
    """Return the text of every lockfile as it is; what is no lockfile of ours is left alone."""
    files = (path for path in LOCKFILES.glob("[!.]*") if path.suffix in (".txt", ".toml"))
    texts = {path: path.read_bytes().decode(errors="replace") for path in files if path.is_file()}
    return {path: text for path, text in texts.items() if text.startswith(TITLE)}


def computed(
    found: Plan, workspace: Workspace, policy: LookUp, report: Callable[[str], None]
) -> tuple[list[Lockfile], Sequence[str]]:
    """Compute what is late, and what `policy` looks up; nothing is written.

    Returns the lockfiles and sentences for a person. `report` is told what is done.
    """
    late = [each for each in found.jobs if each.path in found.late]
    made = resolve.compile_all(late, workspace, report) if late else []
    tables = {
        path: asked
        for path, asked in found.tables.items()
        if path in found.late or policy != ONLY_MISSING
    }
    if not tables:
        return made, ()
    others = pins.compute_all(tables, workspace, policy)
    for lock in others.locks:
        report(lock.path.stem)
    return [*made, *others.locks], others.notes
