"""The suite from its options to its files and tables."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import groupby

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from scripts.bench.replay import output
from scripts.bench.replay.evaluate import evaluate
from scripts.bench.replay.history import (
    History,
    Locked,
    Refused,
    Report,
    exact,
    month_ends,
    names,
    replay,
)
from scripts.bench.table import console
from scripts.lock.resolve import job
from scripts.workspace.cli import say
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.files import exclusive
from scripts.workspace.model import Target, Workspace, nearest
from scripts.workspace.paths import BENCH, CACHE, ROOT, shown

BUMPS = 24
RECORDS = ROOT / "benchmarks" / "replay"


def run(workspace: Workspace, profile: str, without: Sequence[str], *, record: bool) -> None:
    """Replay a profile's locks, write what they come to and print it.

    `without` are packages: what would have been without their lines in the .in files? `record`
    writes the results also where they are committed. Raises BadInput for a package that no .in
    file names, and Failure when no two months could be locked or the registry is away.
    """
    targets = _targets(workspace, profile)
    known = {name for each in targets for name in names(job(workspace, each))}
    for name in without:
        if name not in known:
            raise BadInput(f"--without: no .in file names {name}.{nearest(name, known)}")
    days = month_ends(workspace.lock.as_of, BUMPS)
    pasts = {" ".join(gone): gone for gone in ([], sorted(set(without)))}
    histories = {title: _history(workspace, targets, days, gone) for title, gone in pasts.items()}
    for line in dict.fromkeys(line for each in histories.values() for line in _remarks(each)):
        say(f"replay: {line}")
    found = {}
    for title, history in histories.items():
        if len(history.days) < 2:
            raise Failure("no two months could be locked.", hint="The reasons are above.")
        held = exact(job(workspace, targets[0])) - set(pasts[title])
        found[title] = evaluate(history, title, workspace.layers, held)
    content = output.files(
        histories, found, _chart_title(profile, targets[0], days, list(pasts)[-1])
    )
    folders = [BENCH / "replay" / profile, *([RECORDS / profile] if record else [])]
    for folder in folders:
        output.write(folder, content)
    for title, each in found.items():
        name = f"without {title}" if title else "as it is now"
        console().print(output.table(each.pulls, f"replay {profile}, {name}"))
    for folder in folders:
        say(f"bench: wrote {', '.join(content)} in {shown(folder)}")


def _chart_title(profile: str, webui: Target, days: Sequence[date], without: str) -> str:
    lines = [
        f"What monthly bumps from {days[0]:%Y-%m} to {days[-1]:%Y-%m} make a worker pull "
        f"({profile}: {webui.stack}, Python {webui.python})",
        "Sizes are wheels as downloaded, which stand in for compressed layers.",
    ]
    if without:
        lines.append(f"Without it: as if no .in file held {without}.")
    return "\n".join(lines)


def _targets(workspace: Workspace, name: str) -> list[Target]:
    """Return the two environments of every image; what a stand-in brings is never deployed."""
    profile = workspace.profile(name)
    return [
        Target(environment="webui", stack=profile.stack, python=profile.python),
        Target(environment="worker", stack=None, python=profile.python),
    ]


def _history(
    workspace: Workspace,
    targets: Sequence[Target],
    days: Sequence[date],
    without: Sequence[str],
) -> History:
    # A second one waits, and finds the months resolved.
    with exclusive(CACHE / "replay.lock", "replay"), _progress(len(targets) * len(days)) as report:
        return replay(workspace, targets, days, without, report)


@contextmanager
def _progress(total: int) -> Iterator[Report]:
    """Show months as they come: a bar on a terminal, elsewhere a line for each.

    Those that were resolved before come all at once, and without a line.
    """
    to = Console(stderr=True)
    if to.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=to, transient=True) as bar:
            task = bar.add_task("replay", total=total)
            yield lambda month, _known: bar.update(task, advance=1, description=_title(month))
    else:
        yield lambda month, known: None if known else say(f"replay: {_title(month)}")


def _title(month: Locked | Refused) -> str:
    if isinstance(month, Refused):
        return f"{month.target} {month.day}: no lock"
    return f"{month.target} {month.day}: {len(month.packages)} packages"


def _remarks(history: History) -> Iterator[str]:
    """Yield what must be known of a history: what was lifted, and what is left out and why."""
    lifted = [lock for lock in history.locks if lock.lifted]
    for (target, floors), group in groupby(lifted, lambda lock: (lock.target, lock.lifted)):
        days = [lock.day for lock in group]
        yield (
            f"{target} from {days[0]} to {days[-1]}: {len(days)} months without the lower bounds "
            f"of {', '.join(floors)}, which could not all be met then."
        )
    for each in history.refused:
        yield f"{each.day} is left out, because {each.target} has no lock: {each.reason}"
