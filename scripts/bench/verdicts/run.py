"""The suite from its options to its file and table."""

from scripts.bench.table import console
from scripts.bench.verdicts.rates import csv_text, rates, table
from scripts.workspace.cli import say
from scripts.workspace.files import write_atomic
from scripts.workspace.model import Workspace
from scripts.workspace.paths import BENCH, ROOT, shown

SESSIONS = 400
QUICK_SESSIONS = 40
RECORDS = ROOT / "benchmarks" / "verdicts"


def run(workspace: Workspace, *, quick: bool, record: bool) -> None:
    """Judge made-up sessions, write how often each verdict was given, and print it."""
    found = []
    for rate in rates(QUICK_SESSIONS if quick else SESSIONS, workspace.bench.rounds):
        say(f"verdicts: {rate.design}, {rate.noise}, {100 * rate.change:+.0f} %")
        found.append(rate)
    console().print(table(found))
    for folder in [BENCH / "verdicts", *([RECORDS] if record else [])]:
        write_atomic(folder / "rates.csv", csv_text(found))
        say(f"bench: wrote rates.csv in {shown(folder)}")
