"""`./nox -s lock`: write the lockfiles that the inputs ask for, or check them."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from scripts.lock import pins, resolve
from scripts.lock.lockfile import changes, read
from scripts.workspace.cli import run, say
from scripts.workspace.errors import BadInput, CheckFailed
from scripts.workspace.files import exclusive, write_atomic
from scripts.workspace.model import load, targets
from scripts.workspace.paths import CACHE, LOCKFILES, shown


def stale(path: Path, inputs: Mapping[str, str]) -> list[str]:
    """Return why a lockfile does not follow from these inputs; empty when it does."""
    try:
        return changes(read(path).inputs, inputs)
    except BadInput as reason:
        return [reason.message]


def main(args: argparse.Namespace) -> int:
    """Check the lockfiles, or write the stale ones; return the exit code."""
    workspace = load()
    jobs = [resolve.job(workspace, target) for target in targets(workspace)]
    tables = pins.inputs(workspace)
    reasons = {each.path: stale(each.path, each.inputs) for each in jobs}
    reasons |= {path: stale(path, asked) for path, asked in tables.items()}
    surplus = set(LOCKFILES.glob("*.t*")) - reasons.keys()
    reasons |= {path: ["no target asks for it any more"] for path in surplus}
    late = {path: why for path, why in reasons.items() if why}

    if args.check:
        for path, why in late.items():
            say(f"{shown(path)}: {'; '.join(why)}.")
        if late:
            raise CheckFailed(
                f"{len(late)} of {len(reasons)} lockfiles do not follow from the inputs.",
                hint="Run ./nox -s lock",
            )
        print(f"All {len(reasons)} lockfiles follow from the inputs.")
        return 0

    if not late:
        print(f"All {len(reasons)} lockfiles follow from the inputs; nothing to do.")
        return 0
    with exclusive(CACHE / "lock.lock", "lock"):
        started = time.monotonic()
        for path, why in late.items():
            print(f"{shown(path)}: {'; '.join(why)}.", flush=True)
        made = resolve.compile_all([each for each in jobs if late.get(each.path)], workspace)
        made += [
            pins.compute(path, asked, workspace) for path, asked in tables.items() if path in late
        ]
        # Everything is computed: from here on, only whole files are put in place.
        for lock in made:
            write_atomic(lock.path, lock.text())
        for path in surplus:
            path.unlink()
    print(f"Wrote {len(made)} lockfiles in {time.monotonic() - started:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(run("lock", main))
