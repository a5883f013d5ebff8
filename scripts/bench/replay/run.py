"""The suite from its options to its files and tables."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import groupby

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
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


def run(workspace: Workspace, profile: str, pins: Sequence[str], *, record: bool) -> None:
    """Replay a profile's locks, write what they come to and print it.

    `pins` (`NAME==VERSION`) ask what would have been if the requirements held these, too; `record`
    writes the results also where they are committed. Raises BadInput for a pin of a package that
    nothing installs, and Failure when no two months could be locked or the registry is away.
    """
    targets = _targets(workspace, profile)
    days = month_ends(workspace.lock.as_of, BUMPS)
    histories = {"": _history(workspace, targets, days, {})}
    if pins:
        held = _of_targets(histories[""], pins)
        histories[" ".join(sorted(pins))] = _history(workspace, targets, days, held)
    for line in dict.fromkeys(line for each in histories.values() for line in _remarks(each)):
        say(f"replay: {line}")
    found = {}
    for held_besides, history in histories.items():
        if len(history.days) < 2:
            raise Failure("no two months could be locked.", hint="The reasons are above.")
        own = exact(job(workspace, targets[0]), held_besides.split())
        found[held_besides] = evaluate(history, held_besides, workspace.layers, own)
    content = output.files(histories, found, _chart_title(profile, targets[0], days, pins))
    folders = [BENCH / "replay" / profile, *([RECORDS / profile] if record else [])]
    for folder in folders:
        output.write(folder, content)
    for held_besides, each in found.items():
        name = f"as if {held_besides} were pinned" if held_besides else "as it was"
        console().print(output.table(each.pulls, f"replay {profile}, {name}"))
    for folder in folders:
        say(f"bench: wrote {', '.join(content)} in {shown(folder)}")


def _chart_title(profile: str, webui: Target, days: Sequence[date], pins: Sequence[str]) -> str:
    lines = [
        f"What monthly bumps from {days[0]:%Y-%m} to {days[-1]:%Y-%m} make a worker pull "
        f"({profile}: {webui.stack}, Python {webui.python})",
        "Sizes are wheels as downloaded, which stand in for compressed layers.",
    ]
    if pins:
        lines.append(f"Pinned: as if the requirements had held {' '.join(sorted(pins))}.")
    return "\n".join(lines)


def _targets(workspace: Workspace, name: str) -> list[Target]:
    """Return the two environments of every image; what a stand-in brings is never deployed."""
    profile = workspace.profile(name)
    return [
        Target(environment="webui", stack=profile.stack, python=profile.python),
        Target(environment="worker", stack=None, python=profile.python),
    ]


def _of_targets(history: History, pins: Sequence[str]) -> dict[str, list[str]]:
    """Return the pins of each target: of the packages that it ever installs."""
    known = {lock.target: set[str]() for lock in history.locks}
    for lock in history.locks:
        known[lock.target].update(lock.packages)
    names = {pin: canonicalize_name(Requirement(pin).name) for pin in pins}
    everything = set().union(*known.values())
    for pin, name in names.items():
        if name not in everything:
            raise BadInput(f"--pin {pin}: nothing installs {name}.{nearest(name, everything)}")
    return {
        target: [pin for pin in pins if names[pin] in packages]
        for target, packages in known.items()
    }


def _history(
    workspace: Workspace,
    targets: Sequence[Target],
    days: Sequence[date],
    pins: Mapping[str, Sequence[str]],
) -> History:
    # A second one waits, and finds the months resolved.
    with exclusive(CACHE / "replay.lock", "replay"), _progress(len(targets) * len(days)) as report:
        return replay(workspace, targets, days, pins, report)


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
            f"{', '.join(floors)}, which nothing met yet."
        )
    for each in history.refused:
        yield f"{each.day} is left out, because {each.target} has no lock: {each.reason}"
