"""Section: how close each call comes to what the device can do.

Williams, Waterman and Patterson, Roofline, CACM 52 (2009), with exponentials as a third ceiling.
"""

import math
from collections.abc import Iterator, Sequence

from scripts.bench.schema import Ceilings, Run
from scripts.report.calls import COLUMNS, TERA, Call, by_backend, calls, unit_of
from scripts.report.content import Chart, Figure, Missing, Section, Table, View
from scripts.report.evidence import marks
from scripts.report.figures import LEGEND, MUTED, figure, logarithmic, plain, styles
from scripts.report.measured import provenance
from scripts.report.sources import Sources, Taken

LEAD = (
    "What each call could reach at best. The line is the device's ceiling: memory traffic on the "
    "slope, matrix products on the flat. Dotted lines are the ceiling of the exponentials in "
    "softmax, one for each head_dim, where it is lower. A point below its line has time to win. "
    "Operations and bytes are the least that the shape asks for. Calls that the host issues more "
    "slowly than the GPU runs them are left out: their time is the host's."
)
MISSING = Missing(
    "no result of the suite attn that knows the device's ceilings is there yet",
    "./nox -s build bench -- --suite attn",
)
_HEIGHT_PX = 420
_MOST_RUNS = 4
"""So many of a device's runs are drawn, the newest: each is a figure of its own."""


def section(sources: Sources) -> Section:
    """Return the section: a chart for each device, a view for each of its newest runs and types.

    Recorded runs come first.
    """
    charts = [
        chart for name, runs in sources.runs.items() if (chart := _chart(name, runs)) is not None
    ]
    return Section(
        "roofline",
        "How close to the device's ceilings",
        LEAD,
        charts,
        None if charts else MISSING,
    )


def _chart(device: str, runs: Sequence[Taken]) -> Chart | None:
    roofs = [(taken, found) for taken in reversed(runs) if (found := list(under(taken.run)))]
    newest = sorted(roofs[:_MOST_RUNS], key=lambda each: not each[0].recorded)
    drawn = [(taken, *each) for taken, found in newest for each in found]
    if not drawn:
        return None
    return Chart(
        title=device,
        description=f"Roofline of {device}: operations a second against operations a byte.",
        views=[
            View(
                f"{taken.run.utc[:10]} {taken.run.run_id[-6:]}, {ceilings.dtype}{marks(taken)}",
                _roof(ceilings, found),
                _note(ceilings, taken.run),
            )
            for taken, ceilings, found in drawn
        ],
        table=Table(COLUMNS, [call.row() for *_, found in drawn for call in found]),
        choice="Run",
    )


def under(run: Run) -> Iterator[tuple[Ceilings, list[Call]]]:
    """Yield the ceilings of a run, each with the calls of its type that it bounds."""
    found = [call for call in calls(run) if call.intensity is not None and not call.case.is_issue]
    for ceilings in run.ceilings:
        mine = [call for call in found if call.case.dtype == ceilings.dtype]
        rates = (ceilings.flops, ceilings.bytes)
        if mine and all(math.isfinite(rate) and rate > 0 for rate in rates):
            yield ceilings, mine


def _note(ceilings: Ceilings, run: Run) -> str:
    exps = "unknown" if ceilings.exps is None else f"{ceilings.exps / TERA:.3g} T/s"
    return (
        f"Ceilings for {ceilings.dtype}: {ceilings.flops / TERA:.3g} TFLOP/s, "
        f"{ceilings.bytes / 1e9:.4g} GB/s, exponentials {exps} ({ceilings.source}).\n"
        f"{provenance(run)}."
    )


def _roof(ceilings: Ceilings, found: Sequence[Call]) -> Figure:
    unit, prefix = unit_of(found, ceilings.flops)
    ridge = ceilings.flops / ceilings.bytes
    strengths = [ridge, *(call.intensity for call in found if call.intensity)]
    low, high = min(strengths) / 2, max(strengths) * 2
    limits = [
        _limit("ceiling", [low, ridge, high], [low / ridge, 1, 1], ceilings.flops / unit, "solid"),
        *(
            _limit(f"exp, d {each / 4:.0f}", [low, high], [1, 1], each * rate / unit, "dot")
            for rate in [ceilings.exps or 0]
            for each in sorted({call.per_exp for call in found if call.per_exp})
            if 0 < each * rate < ceilings.flops
        ),
    ]
    for limit in limits:
        limit["hovertemplate"] = f"{limit['name']}: %{{y:.3g}} {prefix}FLOP/s<extra></extra>"
    series = by_backend(found)
    looks = styles(series)
    points = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": plain(name),
            "x": [call.intensity for call in mine],
            "y": [call.rate / unit for call in mine],
            "text": [call.hover(unit, prefix) for call in mine],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": looks[name]["marker"],
        }
        for name, mine in series.items()
    ]
    return figure(
        [*limits, *points],
        height=_HEIGHT_PX,
        xaxis=logarithmic([low, high], "FLOP a byte", range=[math.log10(low), math.log10(high)]),
        yaxis=logarithmic(
            [ceilings.flops / unit, *(call.rate / unit for call in found)], f"{prefix}FLOP/s"
        ),
        showlegend=True,
        legend=LEGEND,
    )


def _limit(
    name: str, x: Sequence[float], shares: Sequence[float], rate: float, dash: str
) -> dict[str, object]:
    """Return a line at the given shares of a rate."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": [share * rate for share in shares],
        "line": {"color": MUTED, "width": 2 if dash == "solid" else 1.5, "dash": dash},
    }
