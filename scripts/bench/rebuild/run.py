"""The suite from its options to its files and tables."""

import csv
import tempfile
from pathlib import Path

from scripts.bench.rebuild.output import Build, costs, csv_text, png, table
from scripts.bench.table import console
from scripts.build.apart import apart
from scripts.build.apart import run as run_apart
from scripts.workspace.cli import say
from scripts.workspace.errors import Failure
from scripts.workspace.files import write_atomic
from scripts.workspace.paths import BENCH, ROOT, shown

NAME = "rebuild"
RECORDS = ROOT / "benchmarks" / "rebuild"


def run(profile: str, *, quick: bool, record: bool) -> None:
    """Measure both orders from empty caches, write what was measured and print it.

    `quick` takes a few small packages in the place of gigabytes. What was measured before a
    failure or Ctrl-C is written, too. Raises Failure when nothing was.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.csv")
        try:
            with apart(NAME, "bench --suite rebuild") as workspace:
                arguments = ["--profile", profile, f"--rows={rows}"]
                run_apart(workspace, "scripts.bench.rebuild", *arguments, *_flag(quick))
        finally:
            builds = read(rows) if rows.exists() else []
            if builds:
                _keep(builds, profile, quick=quick, record=record)
    if not builds:
        raise Failure("nothing could be measured.", hint="The reasons are above.")


def _flag(quick: bool) -> list[str]:
    return ["--quick"] if quick else []


def read(rows: Path) -> list[Build]:
    """Return the builds that a CSV file of the suite holds."""
    with rows.open(newline="") as file:
        return [
            Build(
                order=row["order"],
                change=row["change"],
                run=int(row["run"]),
                seconds=float(row["seconds"]),
                new_bytes=int(row["new_bytes"]),
                new_layers=int(row["new_layers"]),
                reused_layers=int(row["reused_layers"]),
            )
            for row in csv.DictReader(file)
        ]


def _keep(builds: list[Build], profile: str, *, quick: bool, record: bool) -> None:
    found = costs(builds)
    what = "a few small packages" if quick else "all packages"
    title = f"What a change costs in two orders of layers ({profile}, {what})"
    content: dict[str, str | bytes] = {
        "builds.csv": csv_text(builds),
        "costs.png": png(found, title),
    }
    console().print(table(found))
    for folder in [BENCH / NAME / profile, *([RECORDS / profile] if record else [])]:
        for name, data in content.items():
            write_atomic(folder / name, data)
        say(f"bench: wrote {', '.join(content)} in {shown(folder)}")
