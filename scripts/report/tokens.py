"""Section: how fast each backend is with more tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.bench.exports.figures import whole
from scripts.bench.schema import Run
from scripts.report.calls import (
    COLUMNS,
    CROSS,
    NOTHING,
    Call,
    by_backend,
    calls,
    unit_of,
)
from scripts.report.content import Chart, Figure, Section, Table, View
from scripts.report.evidence import Drawn, drawn
from scripts.report.figures import LEGEND, axis, figure, logarithmic, plain, styles
from scripts.report.measured import provenance
from scripts.report.sources import Sources, Taken

LEAD = (
    "Operations a second that each backend reaches, against the tokens of a call: queries and keys "
    "of self-attention, queries of cross-attention, whose keys are the prompt's. Higher is better. "
    "Both axes are logarithmic. Short calls are held up by what starting one costs; those that the "
    "host issues more slowly than a GPU runs them are left out: their time is the host's."
)
_HEIGHT_PX = 420
_CHUNK = 77
"""Tokens of a usual prompt."""


@dataclass(frozen=True)
class Group:
    """Calls that differ in their tokens alone; `prompt` is in tokens, 0 for self-attention."""

    model: str
    kind: str
    dtype: str
    images: int
    prompt: int
    cold: bool

    @property
    def label(self) -> str:
        """The group in words."""
        images = f", {self.images} images" if self.images > 1 else ""
        prompt = f", prompt of {self.prompt}" if self.prompt > _CHUNK else ""
        cold = ", cold cache" if self.cold else ""
        return f"{self.model} {self.kind}, {self.dtype}{images}{prompt}{cold}"


def group_of(call: Call) -> Group:
    """Return the group of a call."""
    shape = call.case.shape
    return Group(
        model=str(shape.get("model", "")),
        kind=call.kind,
        dtype=call.case.dtype or "",
        images=whole(shape.get("images")) or 1,
        prompt=whole(shape.get("m")) or 0 if call.kind == CROSS else 0,
        cold=shape.get("cache") == "cold",
    )


def section(sources: Sources) -> Section:
    """Return the section: a chart for each device that has a group of two lengths or more."""
    charts = [_chart(name, found) for name, runs in sources.runs.items() if (found := shown(runs))]
    return Section("tokens", "Speed against tokens", LEAD, charts, None if charts else NOTHING)


def shown(runs: Sequence[Taken]) -> list[Drawn[Group, Call]]:
    """Return the calls of each group that has two lengths, in the runs that speak for it."""
    found = drawn(runs, lambda taken: _long(taken.run), lambda call: call.case)
    return sorted(found, key=lambda each: (each.aside, each.group.kind == CROSS, each.label))


def _long(run: Run) -> dict[Group, list[Call]]:
    """Return the groups of which a run has two lengths or more, the shortest call first."""
    groups: dict[Group, list[Call]] = {}
    timed = (call for call in calls(run) if not call.case.is_issue)
    for call in sorted(timed, key=lambda call: call.tokens):
        groups.setdefault(group_of(call), []).append(call)
    return {
        group: found for group, found in groups.items() if len({call.tokens for call in found}) > 1
    }


def _chart(device: str, found: Sequence[Drawn[Group, Call]]) -> Chart:
    return Chart(
        title=device,
        description=f"Lines of operations a second against tokens on {device}.",
        views=[
            View(each.label, _lines(each.items), f"{provenance(each.taken.run)}.") for each in found
        ],
        table=Table(COLUMNS, [call.row() for each in found for call in each.items]),
        choice="Calls",
    )


def _lines(found: Sequence[Call]) -> Figure:
    series = by_backend(found)
    looks = styles(series)
    unit, prefix = unit_of(found)
    lengths = sorted({call.tokens for call in found})
    return figure(
        [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(name),
                "x": [call.tokens for call in mine],
                "y": [call.rate / unit for call in mine],
                "text": [call.hover(unit, prefix) for call in mine],
                "hovertemplate": "%{text}<extra></extra>",
                **looks[name],
            }
            for name, mine in series.items()
        ],
        height=_HEIGHT_PX,
        xaxis=axis(
            "tokens", type="log", tickvals=lengths, ticktext=[f"{each:,}" for each in lengths]
        ),
        yaxis=logarithmic([call.rate / unit for call in found], f"{prefix}FLOP/s"),
        showlegend=True,
        legend=LEGEND,
    )
