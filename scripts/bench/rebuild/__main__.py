"""The measurements of the suite, in a workspace that holds nothing else: see `run`."""

import argparse
import csv
import sys
import tempfile
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

from rich.console import Console

from scripts.bench.rebuild.changes import QUICK, changes, older, quick, write
from scripts.bench.rebuild.orders import RUNS, Inputs, measured
from scripts.bench.rebuild.output import Build
from scripts.build import contexts
from scripts.build.build import disk, prepared
from scripts.build.engine import ensure
from scripts.workspace.cli import say
from scripts.workspace.errors import Failure
from scripts.workspace.files import require_space
from scripts.workspace.model import Target, load
from scripts.workspace.paths import BUILDS

# Contexts that are built themselves are given by what they are built from.
EDITED = ("app", "debs", "locks", "model", "source")


def main() -> int:
    """Build, and write a row of CSV for each build as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=Path, required=True)
    args = parser.parse_args()
    workspace = load()
    profile = workspace.profile(args.profile)
    engine = ensure()
    target = Target(environment="webui", stack=profile.stack, python=profile.python)
    groups = contexts.groups(workspace, profile)
    chosen = quick(groups) if args.quick else groups
    packages = {pin.name: pin for each in chosen.values() for pin in each}
    needed = disk(sum(pin.file.size for pin in packages.values() if pin.file))
    require_space(BUILDS, needed, "the suite rebuild")
    with (
        prepared(workspace, args.profile, []) as task,
        tempfile.TemporaryDirectory(dir=BUILDS) as scratch,
        args.rows.open("w", newline="") as file,
    ):
        write(task.folders["locks"], chosen)
        inputs = Inputs(task, {name: task.folders[name] for name in EDITED}, Path(scratch))
        rows = csv.DictWriter(file, [field.name for field in fields(Build)])
        rows.writeheader()
        every = changes(chosen, partial(older, target=target, workspace=workspace))
        if args.quick:
            every = [change for change in every if change.name in QUICK]
        quiet = Console(quiet=True)
        for build in measured(inputs, every, engine, quiet, 1 if args.quick else RUNS):
            rows.writerow(asdict(build))
            file.flush()
            say(
                f"{build.order}, {build.change} {build.run}: {build.seconds:.1f} s, "
                f"{build.new_bytes / 1e6:,.2f} MB in {build.new_layers} new layers"
            )
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except Failure as failure:
        say(f"rebuild: {failure.message}\n  {failure.hint}".rstrip())
        code = failure.code
    except KeyboardInterrupt:
        code = 130  # `run` says what is kept
    sys.exit(code)
