"""`bench -- --ab LOCK_A LOCK_B`, from its arguments to its table."""

import argparse
from collections.abc import Sequence
from typing import get_args

from scripts.bench import stats, table
from scripts.bench.ab import locks
from scripts.bench.ab.ask import Ask, SuiteName, checked
from scripts.bench.ab.blocks import LEAST_PAIRS
from scripts.bench.ab.session import interleave
from scripts.bench.probe.attn_plan import Choice
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import Workspace

QUICK_BUDGET_S = 120.0
# What says something of another kind of run.
OTHERS = (
    *("compare", "of", "export", "json", "record", "python", "full", "without"),
    *("gate", "history", "advise"),
)


def run(args: argparse.Namespace, workspace: Workspace, choice: Choice) -> None:
    """Measure two locks in turns and print what became of each case.

    Raises BadInput for arguments that do not go with it, Failure where nothing could be measured.
    """
    suites = _suites(args)
    for suite in suites:
        checked(suite, choice)
    profile = workspace.profile(args.profile)
    before, after = (locks.side(each, profile) for each in args.ab)
    measured = False
    for suite in suites:
        usual = QUICK_BUDGET_S if args.quick else LEAST_PAIRS * workspace.bench.budget_s[suite]
        ask = Ask(suite, args.budget or usual, args.seed, choice)
        found = interleave(before, after, ask)
        table.show_changes(found, table.console(), stats.MARGIN)
        measured = measured or bool(found.changes)
    if not measured:
        raise Failure("nothing could be measured with both locks.", hint="The reasons are above.")


def _suites(args: argparse.Namespace) -> Sequence[SuiteName]:
    if named := [f"--{name}" for name in OTHERS if getattr(args, name)]:
        raise BadInput(f"--ab measures two locks in turns: leave out {' and '.join(named)}.")
    known: dict[str, SuiteName] = {name: name for name in get_args(SuiteName)}
    names = [name.strip() for name in (args.suite or "attn").split(",")]
    for name in names:
        if name not in known:
            raise BadInput(f"--ab knows no suite {name!r}; it knows {', '.join(known)}.")
    if args.cold and "attn" not in names:
        raise BadInput("--cold is of the suite attn, which was not chosen.")
    return [known[name] for name in dict.fromkeys(names)]
