"""`./nox -s lock`: write the lockfiles that the inputs ask for, or check them."""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.lock import pins, resolve
from scripts.lock.lockfile import changes, read
from scripts.workspace.cli import run, say
from scripts.workspace.errors import BadInput, CheckFailed
from scripts.workspace.files import exclusive, write_atomic
from scripts.workspace.model import Workspace, load, targets
from scripts.workspace.paths import CACHE, LOCKFILES, shown


def stale(path: Path, inputs: Mapping[str, str]) -> list[str]:
    """Return why a lockfile does not follow from these inputs; empty when it does."""
    try:
        return changes(read(path).inputs, inputs)
    except BadInput as reason:
        return [reason.message.removeprefix(f"{shown(path)} ").rstrip(".")]


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


def plan(workspace: Workspace) -> Plan:
    """Hold the lockfiles against the inputs; nothing is asked of anybody."""
    jobs = [resolve.job(workspace, target) for target in targets(workspace)]
    tables = pins.inputs(workspace)
    asked = {each.path: each.inputs for each in jobs} | tables
    files = {path for path in LOCKFILES.glob("[!.]*") if path.suffix in (".txt", ".toml")}
    surplus = sorted(files - asked.keys())
    reasons = {path: stale(path, inputs) for path, inputs in asked.items()}
    reasons |= {path: ["no target asks for it any more"] for path in surplus}
    return Plan(jobs, tables, {path: why for path, why in reasons.items() if why}, surplus)


def check(found: Plan) -> None:
    """Raise CheckFailed, after a line for each, when lockfiles do not follow from the inputs."""
    for path, why in found.late.items():
        say(f"{shown(path)}: {'; '.join(why)}.")
    if found.late:
        raise CheckFailed(
            f"{len(found.late)} of {found.total} lockfiles do not follow from the inputs.",
            hint="Run ./nox -s lock",
        )


def write(found: Plan, workspace: Workspace) -> int:
    """Compute what is late and then write it; return the number of files."""
    for path, why in found.late.items():
        print(f"{shown(path)}: {'; '.join(why)}.", flush=True)
    late = found.late
    made = resolve.compile_all([each for each in found.jobs if each.path in late], workspace)
    made += [
        pins.compute(path, asked, workspace) for path, asked in found.tables.items() if path in late
    ]
    # Everything is computed: from here on, only whole files are put in place.
    for lock in made:
        write_atomic(lock.path, lock.text())
    for path in found.surplus:
        path.unlink()
    return len(made)


def main(args: argparse.Namespace) -> int:
    """Check the lockfiles, or write the late ones; return the exit code."""
    workspace = load()
    if args.check:
        found = plan(workspace)
        check(found)
        print(f"All {found.total} lockfiles follow from the inputs.")
        return 0
    with exclusive(CACHE / "lock.lock", "lock"):
        started = time.monotonic()
        found = plan(workspace)
        if not found.late:
            print(f"All {found.total} lockfiles follow from the inputs; nothing to do.")
            return 0
        written = write(found, workspace)
    print(f"Wrote {written} lockfiles in {time.monotonic() - started:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(run("lock", main))
