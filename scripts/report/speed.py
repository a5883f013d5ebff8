"""Section: how fast attention is with more tokens, and how close to what the device can do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.bench.exports.figures import whole
from scripts.bench.schema import Case, Ceilings, Run
from scripts.report.content import Cell, Chart, Column, Figure, Missing, Section, Table, View
from scripts.report.figures import LEGEND, MUTED, axis, figure, logarithmic, plain, styles
from scripts.report.measured import attention, backend, provenance, rate
from scripts.report.sources import Sources, Taken

NO_ATTENTION = Missing(
    "no result of the suite attn is there yet", "./nox -s build bench -- --suite attn"
)
TOKENS_LEAD = (
    "Operations a second that each backend reaches, against the tokens of a call: queries and keys "
    "of self-attention, queries of cross-attention, whose keys are the prompt's. Higher is better. "
    "Both axes are logarithmic. Short calls are held up by what starting one costs."
)
ROOFLINE_LEAD = (
    "What each call could reach at best. The line is the device's ceiling: memory traffic on the "
    "slope, matrix products on the flat. Dotted lines are the ceiling of the exponentials in "
    "softmax, one for each head_dim, where it is lower. A point below its line has time to win. "
    "Operations and bytes are the least that the shape asks for."
)
_TOKENS_PX = _ROOFLINE_PX = 420
_TERA = 1e12
_COLUMNS = (
    Column("run", "run"),
    Column("shape", "shape"),
    Column("dtype", "dtype"),
    Column("backend", "backend"),
    Column("tokens", "tokens", ",d"),
    Column("tflops", "TFLOP/s", ".4g"),
    Column("intensity", "FLOP/byte", ".4g"),
    Column("flops", "FLOP", ".4g"),
    Column("bytes", "bytes", ".4g"),
    Column("exps", "exponentials", ".4g"),
    Column("pct_floor", "of ceiling %", ".0f"),
    Column("bound", "bound by"),
)


@dataclass(frozen=True)
class Group:
    """Calls that differ in their tokens alone."""

    model: str
    kind: str
    dtype: str
    images: int
    text: int | None
    cold: bool

    @property
    def label(self) -> str:
        """The group in words."""
        images = f", {self.images} images" if self.images > 1 else ""
        text = f", prompt of {self.text}" if self.text and self.text > 77 else ""
        return f"{self.model} {self.kind}, {self.dtype}{images}{text}{', cold' * self.cold}"


def group_of(case: Case) -> Group | None:
    """Return the group of a call of attention that has a speed; None for any other case."""
    found = attention(case)
    if found is None or rate(case) is None:
        return None
    kind = found[0]
    return Group(
        model=str(case.shape.get("model", "")),
        kind=kind,
        dtype=case.dtype or "",
        images=whole(case.shape.get("images")) or 1,
        text=whole(case.shape.get("m")) if "cross" in kind else None,
        cold=case.shape.get("cache") == "cold",
    )


def tokens(sources: Sources) -> Section:
    """Return the section on speed against tokens: a chart for each device."""
    charts = [chart for name, runs in sources.runs.items() for chart in _tokens(name, runs)]
    return Section(
        "tokens", "Speed against tokens", TOKENS_LEAD, charts, None if charts else NO_ATTENTION
    )


def _tokens(device: str, runs: Sequence[Taken]) -> list[Chart]:
    """Return the chart of a device: of each group, the newest run that has two lengths of it."""
    chosen: dict[Group, tuple[Run, list[Case]]] = {}
    for taken in runs:
        grouped: dict[Group, list[Case]] = {}
        for case in taken.run.cases:
            if group := group_of(case):
                grouped.setdefault(group, []).append(case)
        for group, cases in grouped.items():
            if len({attention(case) for case in cases}) > 1:
                chosen[group] = (taken.run, cases)
    if not chosen:
        return []
    ordered = sorted(chosen, key=lambda group: ("cross" in group.kind, group.label))
    return [
        Chart(
            title=device,
            description=f"Lines of operations a second against tokens on {device}.",
            views=[
                View(
                    group.label, _token_lines(chosen[group][1]), f"{provenance(chosen[group][0])}."
                )
                for group in ordered
            ],
            table=Table(
                _COLUMNS,
                [
                    _row(case, chosen[group][0])
                    for group in ordered
                    for case in sorted(chosen[group][1], key=_place)
                ],
            ),
            choice="Calls",
        )
    ]


def _row(case: Case, run: Run) -> list[Cell]:
    found, speed, strength = attention(case), rate(case), intensity(case)
    return [
        run.run_id,
        str(case.shape.get("name", "")),
        case.dtype,
        backend(case),
        found and found[1],
        speed and speed / _TERA,
        strength,
        case.flops,
        case.bytes,
        case.exps,
        case.pct_floor,
        case.bound,
    ]


def _place(case: Case) -> tuple[int, str]:
    found = attention(case)
    return (found[1] if found else 0, backend(case))


def _by_backend(cases: Sequence[Case]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in cases:
        if not case.id.endswith("@again"):
            found.setdefault(backend(case), []).append(case)
    return found


def _token_lines(cases: Sequence[Case]) -> Figure:
    series = _by_backend(cases)
    counts = sorted({_place(case)[0] for case in cases})
    looks = styles(series)
    unit, prefix = _unit(cases)
    traces = []
    for name, each in series.items():
        ordered = sorted(each, key=_place)
        speeds = [(rate(case) or 0) / unit for case in ordered]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(name),
                "x": [_place(case)[0] for case in ordered],
                "y": speeds,
                "text": [_point(case, unit, prefix) for case in ordered],
                "hovertemplate": "%{text}<extra></extra>",
                **looks[name],
            }
        )
    return figure(
        traces,
        height=_TOKENS_PX,
        xaxis=axis(
            "tokens", type="log", tickvals=counts, ticktext=[f"{count:,}" for count in counts]
        ),
        yaxis=logarithmic([(rate(case) or 0) / unit for case in cases], f"{prefix}FLOP/s"),
        showlegend=True,
        legend=LEGEND,
    )


def _unit(cases: Sequence[Case], ceiling: float = 0) -> tuple[float, str]:
    """Return the unit in which the fastest is no fraction, in operations/s, and its prefix."""
    fastest = max([ceiling, *(rate(case) or 0 for case in cases)])
    return (_TERA, "T") if fastest >= _TERA else (1e9, "G")


def intensity(case: Case) -> float | None:
    """Return the operations of a case for each byte that it must move, where both are known."""
    if not case.flops or not case.bytes or case.flops < 0 or case.bytes < 0:
        return None
    return case.flops / case.bytes


def roofline(sources: Sources) -> Section:
    """Return the section on ceilings: a chart for each device, a view for each run and dtype."""
    charts = [chart for name, runs in sources.runs.items() for chart in _rooflines(name, runs)]
    missing = Missing(
        "no result of the suite attn that knows the device's ceilings is there yet",
        "./nox -s build bench -- --suite attn",
    )
    return Section(
        "roofline",
        "How close to the device's ceilings",
        ROOFLINE_LEAD,
        charts,
        None if charts else missing,
    )


_MOST_RUNS = 4
"""Rooflines are shown of as many runs of a device; each is a figure of its own."""


def _rooflines(device: str, runs: Sequence[Taken]) -> list[Chart]:
    views: list[View] = []
    rows: list[list[Cell]] = []
    for taken in reversed(runs):
        run = taken.run
        for ceilings in run.ceilings:
            cases = [
                case
                for case in run.cases
                if case.dtype == ceilings.dtype
                and attention(case)
                and intensity(case)
                and rate(case)
                and not case.id.endswith("@again")
            ]
            if not cases or len({view.note for view in views}) == _MOST_RUNS:
                continue
            exps = "unknown" if ceilings.exps is None else f"{ceilings.exps / _TERA:.3g} T/s"
            note = (
                f"Ceilings for {ceilings.dtype}: {ceilings.flops / _TERA:.3g} TFLOP/s, "
                f"{ceilings.bytes / 1e9:.4g} GB/s, exponentials {exps} ({ceilings.source}).\n"
                f"{provenance(run)}."
            )
            views.append(
                View(
                    f"{run.utc[:10]} {run.run_id[-6:]}, {ceilings.dtype}",
                    _roof(cases, ceilings),
                    note,
                )
            )
            rows += [_row(case, run) for case in cases]
    if not views:
        return []
    return [
        Chart(
            title=device,
            description=f"Roofline of {device}: operations a second against operations a byte.",
            views=views,
            table=Table(_COLUMNS, rows),
            choice="Run",
        )
    ]


def _roof(cases: Sequence[Case], ceilings: Ceilings) -> Figure:
    strengths = [strength for case in cases if (strength := intensity(case))]
    unit, prefix = _unit(cases, ceilings.flops)
    ridge = ceilings.flops / ceilings.bytes
    low, high = min(*strengths, ridge) / 2, max(*strengths, ridge) * 2
    traces: list[dict[str, object]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "ceiling",
            "x": [low, ridge, high],
            "y": [low * ceilings.bytes / unit, *[ceilings.flops / unit] * 2],
            "line": {"color": MUTED, "width": 2},
            "hovertemplate": f"%{{y:.3g}} {prefix}FLOP/s at most<extra></extra>",
        }
    ]
    # A call takes 4 d operations for each exponential, so its ceiling follows from head_dim.
    per_exp = sorted({case.flops / case.exps for case in cases if case.flops and case.exps})
    for each in per_exp if ceilings.exps else ():
        at_most = each * (ceilings.exps or 0) / unit
        if at_most < ceilings.flops / unit:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"exp, d {each / 4:.0f}",
                    "x": [low, high],
                    "y": [at_most, at_most],
                    "line": {"color": MUTED, "width": 1.5, "dash": "dot"},
                    "hovertemplate": f"exponentials, head_dim {each / 4:.0f}: "
                    f"{at_most:.3g} {prefix}FLOP/s at most<extra></extra>",
                }
            )
    series = _by_backend(cases)
    looks = styles(series)
    for name, mine in series.items():
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(name),
                "x": [intensity(case) for case in mine],
                "y": [(rate(case) or 0) / unit for case in mine],
                "text": [_point(case, unit, prefix) for case in mine],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": looks[name]["marker"],
            }
        )
    return figure(
        traces,
        height=_ROOFLINE_PX,
        xaxis=logarithmic([low, high], "FLOP a byte", range=[math.log10(low), math.log10(high)]),
        yaxis=logarithmic(
            [ceilings.flops / unit, *((rate(case) or 0) / unit for case in cases)],
            f"{prefix}FLOP/s",
        ),
        showlegend=True,
        legend=LEGEND,
    )


def _point(case: Case, unit: float, prefix: str) -> str:
    share = "" if case.pct_floor is None else f", {case.pct_floor:.0f} % of its ceiling"
    bound = f" ({case.bound})" if case.bound else ""
    lines = [
        str(case.shape.get("name")),
        f"{backend(case)}: {(rate(case) or 0) / unit:.4g} {prefix}FLOP/s{share}{bound}",
    ]
    return "<br>".join(plain(line) for line in lines)
