"""Section: every backend's time on each shape, with intervals and verdicts."""

import textwrap
from collections.abc import Sequence
from typing import get_args

from scripts.bench.exports.figures import iterations_per_s
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Case, Comparison, Run, VerdictName
from scripts.bench.stats import Estimate
from scripts.report.content import Cell, Chart, Column, Figure, Section, Table, View
from scripts.report.evidence import Drawn
from scripts.report.figures import INK, MUTED, axis, figure, guide, hatched, plain
from scripts.report.measured import (
    NOTHING,
    SUITES,
    Shape,
    backend,
    ends,
    milliseconds,
    provenance,
    shown,
    verdict_on,
)
from scripts.report.sources import Sources, Taken

LEAD = (
    "Median time of each attention optimization, with its 95 % interval; shorter is better. The "
    "verdict compares with the reference (dotted line) in rounds of random order: FASTER and "
    "SLOWER are beyond the margin, SAME is within it, INCONCLUSIVE is neither. Recorded runs speak "
    "first; what is marked as local was measured on this machine alone. A name that ends in "
    f"{AGAIN} is the reference once more, the noise of that session."
)
_COLUMNS = (
    Column("shape", "shape"),
    Column("backend", "backend"),
    Column("verdict", "verdict"),
    Column("ratio", "ratio", ".3f"),
    Column("ratio_low", "from", ".3f"),
    Column("ratio_high", "to", ".3f"),
    Column("median_ms", "median ms", ",.4g"),
    Column("low_ms", "from", ",.4g"),
    Column("high_ms", "to", ",.4g"),
    Column("per_s", "it/s", ".3g"),
    Column("dtype", "dtype"),
    Column("kernel", "ran"),
    Column("status", "status"),
    Column("q", "q", ".2g"),
    Column("smallest", "smallest", ".1%"),
    Column("rounds", "rounds", "d"),
    Column("peak_mb", "peak MB", ",.0f"),
    Column("attention_share", "attention", ".0%"),
    Column("rel_l2", "rel. L2", ".1e"),
    Column("reason", "note"),
    Column("run", "run"),
    Column("recorded", "recorded"),
)
REFERENCE = "reference"
_VERDICTS = get_args(VerdictName)
_PATTERNS = {"SLOWER": "/", "INCONCLUSIVE": "."}
_ROW_PX, _FRAME_PX = 44, 70


def section(sources: Sources) -> Section:
    """Return the section: a chart for each device and suite, a view for each shape."""
    charts = [
        _chart(name, suite, found)
        for name, runs in sources.runs.items()
        for suite in SUITES
        if (found := shown(runs, suite))
    ]
    return Section(
        "comparison", "Which attention is faster", LEAD, charts, None if charts else NOTHING
    )


def verdicts(runs: Sequence[Taken]) -> list[Comparison]:
    """Return the comparisons of the runs that speak for a device, without those of A/A pairs."""
    return [
        found
        for suite in SUITES
        for each in shown(runs, suite)
        for case in each.items
        if (found := verdict_on(case, each.taken.run))
        and not each.aside
        and not case.id.endswith(AGAIN)
    ]


def _chart(device: str, suite: str, found: Sequence[Drawn[Shape, Case]]) -> Chart:
    # What takes longest decides what a user waits for: it comes first.
    ordered = sorted(found, key=lambda each: (each.aside, -_longest(each.items)))
    views = [
        View(each.label, _bars(each.items, each.taken.run), _note(each.items, each.taken.run))
        for each in ordered
    ]
    rows = [_row(case, each.taken) for each in ordered for case in each.items]
    return Chart(
        title=f"{SUITES[suite]}: {device}",
        description=f"Bars of the median time of each backend, suite {suite}, on {device}.",
        views=views,
        table=Table(_COLUMNS, rows),
        choice="Shape",
    )


def _longest(cases: Sequence[Case]) -> float:
    return max((milliseconds(case).value for case in cases if case.status == "ok"), default=0)


def _note(cases: Sequence[Case], run: Run) -> str:
    scaled = cases[0].shape.get("scaled")
    missing: dict[str, list[str]] = {}
    for case in cases:
        if case.status != "ok":
            said = textwrap.shorten(case.reason or "no reason given", 100, placeholder=" ...")
            reason = f"{case.status}: {said}"
            missing.setdefault(reason, []).append(backend(case))
    return "\n".join(
        [
            *([f"Scaled: {scaled}."] if scaled else []),
            *(f"{', '.join(names)} {reason}" for reason, names in missing.items()),
            f"{provenance(run)}.",
        ]
    )


def _row(case: Case, taken: Taken) -> list[Cell]:
    run = taken.run
    found = verdict_on(case, run)
    time = milliseconds(case) if case.status == "ok" else None
    scaled = case.shape.get("scaled")
    return [
        str(case.shape.get("name", "")),
        backend(case),
        _word(case, found, run) if time else None,
        found and found.ratio,
        *(found.ci if found else (None, None)),
        time and time.value,
        *(ends(time) if time else (None, None)),
        time and iterations_per_s(case),
        case.dtype,
        case.resolved_kernel,
        case.status,
        found and found.q,
        found and found.smallest,
        len(case.samples_ns),
        None if case.peak_bytes is None else case.peak_bytes / 1e6,
        case.attention_share,
        case.rel_l2,
        "; ".join(filter(None, [case.reason, f"scaled: {scaled}" if scaled else None])),
        run.run_id,
        taken.recorded,
    ]


def _word(case: Case, found: Comparison | None, run: Run) -> str:
    if found is not None:
        return found.verdict
    return REFERENCE if any(each.a == case.id for each in run.compare) else ""


def _bars(cases: Sequence[Case], run: Run) -> Figure:
    """Return horizontal bars from the top down; what has no time keeps its place and says why."""
    names, lines = [], []
    bars: dict[str, list[tuple[int, Estimate, str]]] = {}
    for place, case in enumerate(cases):
        found = verdict_on(case, run)
        time = milliseconds(case) if case.status == "ok" else None
        word = _word(case, found, run) if time else case.status
        below = f"{found.ratio:.2f}x {word}" if found and time else word
        names.append(f"<b>{plain(backend(case))}</b><br>{plain(below)}")
        if time:
            bars.setdefault(word, []).append((place, time, _hover(case, time, found)))
        if time and word == REFERENCE:
            lines.append(guide(x0=time.value, x1=time.value, y0=-0.5, y1=len(cases) - 0.5))
    return figure(
        [_trace(word, each) for word, each in bars.items()],
        height=_ROW_PX * len(cases) + _FRAME_PX,
        xaxis=axis("median time in ms", rangemode="tozero"),
        yaxis=axis(
            tickvals=list(range(len(cases))),
            ticktext=names,
            range=[len(cases) - 0.4, -0.6],
            showgrid=False,
            zeroline=False,
        ),
        barmode="overlay",
        shapes=lines,
    )


def _trace(word: str, bars: Sequence[tuple[int, Estimate, str]]) -> dict[str, object]:
    """Return the bars of one verdict: place, time in ms and tooltip of each."""
    intervals = [(time.value, *ends(time)) for _, time, _ in bars]
    return {
        "type": "bar",
        "orientation": "h",
        "name": word,
        "y": [place for place, _, _ in bars],
        "x": [time.value for _, time, _ in bars],
        "customdata": [hover for _, _, hover in bars],
        "hovertemplate": "%{customdata}<extra></extra>",
        "width": 0.55,
        "marker": {
            "color": f"var(--{word.lower()})" if word in _VERDICTS else MUTED,
            "pattern": hatched(_PATTERNS.get(word, "")),
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [0 if high is None else high - value for value, _, high in intervals],
            "arrayminus": [0 if low is None else value - low for value, low, _ in intervals],
            "color": INK,
            "thickness": 1.5,
            "width": 4,
        },
    }


def _hover(case: Case, time: Estimate, found: Comparison | None) -> str:
    low, high = ends(time)
    interval = "" if low is None or high is None else f" ({low:,.4g} to {high:,.4g})"
    lines = [backend(case), f"{time.value:,.4g} ms{interval}"]
    if found:
        lines.append(f"{found.ratio:.3f} ({found.ci[0]:.3f} to {found.ci[1]:.3f}) {found.verdict}")
    lines.append(f"ran {case.resolved_kernel or 'unknown'}, {len(case.samples_ns)} rounds")
    return "<br>".join(plain(line) for line in lines)
