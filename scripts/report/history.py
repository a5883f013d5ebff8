"""Section: every case over all runs of a device, with the bumps and the change points between."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Case, Run
from scripts.bench.tracking.changes import machine
from scripts.report.content import Cell, Chart, Column, Figure, Missing, Section, Table, View
from scripts.report.evidence import places
from scripts.report.figures import (
    FLAGGED,
    LEGEND,
    MUTED,
    axis,
    figure,
    guide,
    logarithmic,
    plain,
    styles,
)
from scripts.report.measured import Shape, backend, by_shape, commit, median_ms
from scripts.report.sources import Change, Sources, Taken

_MOST_RUNS = 50
"""So many of a device's runs are shown, the newest, so that the page stays one of some MB."""

LEAD = (
    f"Median time of each backend in the newest {_MOST_RUNS} runs, on a logarithmic axis; lower is "
    "better. A dotted line is a bump: the lock or a version is another one than in the run before. "
    "A large ringed point begins a new level, which the scan for change points found. Open points "
    "are of this machine alone, not recorded. Image and host are views of their own, as are "
    "machines that cannot be compared."
)
MISSING = Missing("no device has two runs with one shape yet", "./nox -s build bench -- --record")
_COLUMNS = (
    Column("case", "case"),
    Column("run", "run"),
    Column("utc", "UTC"),
    Column("median_ms", "median ms", ",.4g"),
    Column("rounds", "rounds", "d"),
    Column("recorded", "recorded"),
    Column("ran_in", "ran in"),
    Column("bump", "bump"),
    Column("ratio", "change point", ".3f"),
    Column("p", "p", ".2g"),
    Column("because", "because"),
    Column("commit", "commit"),
)
_HEIGHT_PX = 420
_MOST_TICKS = 5

Point = tuple[Taken, Case]
Key = tuple[Shape, tuple[str, ...]]
"""Shape and machine: what is alike in all runs of a view."""


def section(sources: Sources) -> Section:
    """Return the section: a chart for each device, a view for each shape with two runs or more."""
    charts = [
        chart
        for name, runs in sources.runs.items()
        for chart in _charts(name, runs[-_MOST_RUNS:], sources.changes)
    ]
    return Section("history", "History", LEAD, charts, None if charts else MISSING)


def _charts(device: str, runs: Sequence[Taken], changes: Sequence[Change]) -> list[Chart]:
    """Return the chart of a device; each machine that it was, or place, has views of its own."""
    long = {key: found for key, found in _histories(runs).items() if len(found) > 1}
    if not long:
        return []
    found_at = {(change.case, change.after): change for change in changes}
    where = places(runs)
    known = list(where)

    def rank(key: Key) -> tuple[str, int, float, str]:
        shape, at = key
        return shape.suite, known.index(at), -_time(long[key][-1][1]), shape.label

    ordered = sorted(long, key=rank)
    return [
        Chart(
            title=device,
            description=f"Lines of the median time of each backend over the runs on {device}.",
            views=[
                View(
                    _label(shape, where[at]),
                    _lines(long[shape, at], found_at),
                    _said(long[shape, at]),
                )
                for shape, at in ordered
            ],
            table=Table(_COLUMNS, [row for key in ordered for row in _rows(long[key], found_at)]),
            choice="Shape",
        )
    ]


def _histories(runs: Sequence[Taken]) -> dict[Key, list[tuple[Taken, list[Case]]]]:
    """Return the runs that timed each shape on each machine, without the repeats of A/A pairs."""
    found: dict[Key, list[tuple[Taken, list[Case]]]] = {}
    for taken in runs:
        for shape, cases in by_shape(taken.run.cases).items():
            timed = [each for each in cases if each.status == "ok" and not each.id.endswith(AGAIN)]
            if timed:
                found.setdefault((shape, machine(taken.run)), []).append((taken, timed))
    return found


def _label(shape: Shape, where: str) -> str:
    return f"{shape.suite} {shape.label}{f' ({where})' if where else ''}"


def _time(cases: Sequence[Case]) -> float:
    return max(median_ms(case) for case in cases)


def bump(before: Run, after: Run) -> str:
    """Return what a lock brought from one run to the next: "torch 2.1.2 -> 2.8.0"; '' for nothing.

    A lock that changed in what the bench does not tell is "another lock".
    """
    old, new = before.sw.model_dump(), after.sw.model_dump()
    moved = [
        f"{name} {old[name] or 'none'} -> {new[name] or 'none'}"
        for name in old
        if old[name] != new[name]
    ]
    if not moved and before.lock_sha256 != after.lock_sha256:
        return "another lock"
    return ", ".join(moved)


def _bumps(history: Sequence[tuple[Taken, list[Case]]]) -> list[str]:
    """Return for each run what was bumped since the one before it."""
    runs = [taken.run for taken, _ in history]
    return ["", *(bump(before, after) for before, after in pairwise(runs))]


def _said(history: Sequence[tuple[Taken, list[Case]]]) -> str:
    """Return the bumps as a sentence: a line in a chart says where one was, not which."""
    runs = [taken.run for taken, _ in history]
    bumps = [
        f"{run.utc[:10]}: {what}." for run, what in zip(runs, _bumps(history), strict=True) if what
    ]
    return "\n".join([f"{len(runs)} runs.", *bumps])


def _series(history: Sequence[tuple[Taken, list[Case]]]) -> dict[str, list[tuple[int, Point]]]:
    found: dict[str, list[tuple[int, Point]]] = {}
    for place, (taken, cases) in enumerate(history):
        for case in cases:
            found.setdefault(backend(case), []).append((place, (taken, case)))
    return found


def _lines(
    history: Sequence[tuple[Taken, list[Case]]], changes: Mapping[tuple[str, str], Change]
) -> Figure:
    series = _series(history)
    looks = styles(series)
    traces: list[dict[str, object]] = []
    for name, points in series.items():
        marker = looks[name]["marker"]
        flagged = [(case.id, taken.run.run_id) in changes for _, (taken, case) in points]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(name),
                "x": [place for place, _ in points],
                "y": [median_ms(case) for _, (_, case) in points],
                "text": [_hover(point, changes) for _, point in points],
                "hovertemplate": "%{text}<extra></extra>",
                "line": looks[name]["line"],
                "marker": {
                    **marker,
                    "size": [14 if each else 8 for each in flagged],
                    "symbol": [
                        marker["symbol"] + ("" if taken.recorded else "-open")
                        for _, (taken, _) in points
                    ],
                    "line": {
                        "color": FLAGGED,
                        "width": [3 if each else 1 for each in flagged],
                    },
                },
            }
        )
    times = [median_ms(case) for _, cases in history for case in cases]
    places = [place for place, what in enumerate(_bumps(history)) if what]
    every = -(-len(history) // _MOST_TICKS)
    ticks = list(range(0, len(history), every))
    return figure(
        traces,
        height=_HEIGHT_PX,
        xaxis=axis(
            tickvals=ticks,
            ticktext=[_day(history[place][0].run) for place in ticks],
            range=[-0.5, len(history) - 0.5],
            showgrid=False,
            zeroline=False,
        ),
        yaxis=logarithmic(times, "median time in ms"),
        showlegend=True,
        legend=LEGEND,
        shapes=[
            guide(x0=place - 0.5, x1=place - 0.5, y0=0, y1=1, yref="paper") for place in places
        ],
        annotations=[
            *(
                {"x": place - 0.5, "y": 1, "yref": "paper", **_SAID, "text": "bump"}
                for place in places
            ),
            *(
                # On a logarithmic axis, plotly takes a note's place as the power of ten.
                {"x": place, "y": math.log10(median_ms(case)), **_SAID, "text": _times(change)}
                for points in series.values()
                for place, (taken, case) in points
                if (change := changes.get((case.id, taken.run.run_id)))
            ),
        ],
    )


_SAID = {
    "xanchor": "left",
    "yanchor": "top",
    "xshift": 4,
    "font": {"color": MUTED, "size": 11},
    "showarrow": False,
}


def _day(run: Run) -> str:
    """Return the day of a run in two lines, so that ticks do not touch on a phone."""
    return f"{run.utc[5:10]}<br>{run.utc[:4]}"


def _times(change: Change) -> str:
    return f"{change.ratio:.2f}x"


def _hover(point: Point, changes: Mapping[tuple[str, str], Change]) -> str:
    taken, case = point
    lines = [
        f"{backend(case)}: {median_ms(case):,.4g} ms",
        f"{taken.run.utc}, torch {taken.run.sw.torch}, {commit(taken.run)}",
    ]
    if change := changes.get((case.id, taken.run.run_id)):
        lines.append(f"change point: {change.ratio:.3f}x {', '.join(change.because)}")
    return "<br>".join(plain(line) for line in lines)


def _rows(
    history: Sequence[tuple[Taken, list[Case]]], changes: Mapping[tuple[str, str], Change]
) -> list[list[Cell]]:
    bumps = _bumps(history)
    rows: list[list[Cell]] = []
    for points in _series(history).values():
        for place, (taken, case) in points:
            change = changes.get((case.id, taken.run.run_id))
            rows.append(
                [
                    case.id,
                    taken.run.run_id,
                    taken.run.utc,
                    median_ms(case),
                    len(case.samples_ns),
                    taken.recorded,
                    taken.run.ran_in,
                    bumps[place],
                    change.ratio if change else None,
                    change.p if change else None,
                    "; ".join(change.because) if change else None,
                    commit(taken.run),
                ]
            )
    return rows
