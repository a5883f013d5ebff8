"""Where the history of a device changed, and what differs between the runs before and after."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Run
from scripts.bench.tracking.causes import because
from scripts.bench.tracking.detection import Point, change_points
from scripts.workspace.paths import ROOT

SCHEMA = 1
MEASURE = "time"

Detect = Callable[[Mapping[str, Sequence[float]]], Mapping[str, Sequence[Point]]]


@dataclass(frozen=True)
class Series:
    """A case on one machine: median times in ns of the runs that timed it, the oldest first."""

    case: str
    suite: str
    runs: tuple[Run, ...]
    medians_ns: tuple[float, ...]


@dataclass(frozen=True)
class Change:
    """A case took `ratio` times as long from the run `after` on, by the medians of both levels.

    `p` is of Otava's t-test. `because` is what differs between the runs, most likely first, and
    empty where they tell of nothing.
    """

    case: str
    measure: str
    before: str
    after: str
    ratio: float
    p: float
    because: tuple[str, ...]


def series(runs: Sequence[Run]) -> list[Series]:
    """The history of each case, by machine and id.

    Runs of a device may be of machines that cannot be compared (another processor beside the GPU,
    MIG), or measured in another place: each of these has series of its own. The second run of the
    reference is left out: it is the same thing twice.
    """
    found: dict[tuple[str, ...], list[tuple[Run, str, float]]] = {}
    for run in sorted(runs, key=lambda run: (run.utc, run.run_id)):
        for case in run.cases:
            if case.status == "ok" and not case.id.endswith(AGAIN):
                time = statistics.median(case.samples_ns)
                found.setdefault((case.id, *machine(run)), []).append((run, case.suite, time))
    return [
        Series(
            case=key[0],
            suite=points[-1][1],
            runs=tuple(run for run, _, _ in points),
            medians_ns=tuple(time for _, _, time in points),
        )
        for key, points in sorted(found.items())
    ]


def machine(run: Run) -> tuple[str, ...]:
    """What stays the same in a series, in words, and first where it ran.

    A driver may move: it is a cause, not another machine.
    """
    gpu = (run.gpu.name, f"MIG {run.gpu.mig}", str(run.gpu.power_limit)) if run.gpu else ()
    return (f"in the {run.ran_in}", run.host.cpu, f"{run.host.cores} cores", *gpu)


def changes(
    of: Sequence[Series], root: Path = ROOT, detect: Detect = change_points
) -> list[Change]:
    """The change points of all series, sorted; locks are looked up in the repository at `root`.

    Raises Failure where there are enough runs and Otava cannot be had.
    """
    found = detect({str(number): each.medians_ns for number, each in enumerate(of)})
    made = [
        change
        for number, points in found.items()
        for change in _of_series(of[int(number)], points, root)
    ]
    return sorted(made, key=lambda change: (change.case, change.after, change.before))


def _of_series(of: Series, points: Sequence[Point], root: Path) -> list[Change]:
    """Give each point what changed there; a level reaches from one point to the next."""
    ends = [0, *(point.index for point in points), len(of.medians_ns)]
    levels = [statistics.median(of.medians_ns[start:end]) for start, end in pairwise(ends)]
    return [
        Change(
            case=of.case,
            measure=MEASURE,
            before=of.runs[point.index - 1].run_id,
            after=of.runs[point.index].run_id,
            # Rounded, so that another machine's last digits change no committed file.
            ratio=round(new / old, 4),
            p=float(f"{point.p:.3g}"),
            because=because(of.runs[point.index - 1], of.runs[point.index], of.suite, root),
        )
        for point, (old, new) in zip(points, pairwise(levels), strict=True)
    ]


def text(found: Sequence[Change]) -> str:
    """The text of changes.json: the same changes give the same bytes."""
    content = {"schema": SCHEMA, "changes": [asdict(change) for change in found]}
    return json.dumps(content, indent=1) + "\n"
