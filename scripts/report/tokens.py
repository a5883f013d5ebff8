"""Section: how fast each backend is with more tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.bench.exports.figures import whole
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
from scripts.report.figures import LEGEND, axis, figure, logarithmic, plain, styles
from scripts.report.measured import provenance
from scripts.report.sources import Sources, Taken

LEAD = (
    "Operations a second that each backend reaches, against the tokens of a call: queries and keys "
    "of self-attention, queries of cross-attention, whose keys are the prompt's. Higher is better. "
    "Both axes are logarithmic. Short calls are held up by what starting one costs."
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
    charts = [
        _chart(name, groups) for name, runs in sources.runs.items() if (groups := newest(runs))
    ]
    return Section("tokens", "Speed against tokens", LEAD, charts, None if charts else NOTHING)


def newest(runs: Sequence[Taken]) -> dict[Group, list[Call]]:
    """Return each group in the newest run that has two lengths of it, shortest call first."""
    chosen: dict[Group, list[Call]] = {}
    for taken in runs:
        groups: dict[Group, list[Call]] = {}
        for call in calls(taken.run):
            groups.setdefault(group_of(call), []).append(call)
        for group, found in groups.items():
            if len({call.tokens for call in found}) > 1:
                chosen[group] = sorted(found, key=lambda call: call.tokens)
    ordered = sorted(chosen, key=lambda group: (group.kind == CROSS, group.label))
    return {group: chosen[group] for group in ordered}


def _chart(device: str, groups: dict[Group, list[Call]]) -> Chart:
    return Chart(
        title=device,
        description=f"Lines of operations a second against tokens on {device}.",
        views=[
            View(group.label, _lines(found), f"{provenance(found[0].run)}.")
            for group, found in groups.items()
        ],
        table=Table(COLUMNS, [call.row() for found in groups.values() for call in found]),
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
