"""Section: how often verdicts are right where the truth is known."""

from collections.abc import Sequence

from scripts.bench.verdicts.rates import Rate
from scripts.report.content import Cell, Chart, Column, Figure, Missing, Section, Table, View
from scripts.report.figures import LEGEND, axis, figure, hatched, plain
from scripts.report.sources import Sources

LEAD = (
    "The method was tried on made-up sessions of known truth, with noise, drift, bursts, outliers "
    "and heavy tails. Bars are the shares of each verdict. It is held to this: no change is called "
    "one in at most 5 % of the sessions, and within one run a change of 2 % is found in 95 % or "
    "more. Two runs, each with clocks and memory of its own, can tell 10 % from none, and 2 % not."
)
_COLUMNS = (
    Column("design", "compared in"),
    Column("noise", "noise"),
    Column("change", "change", "+.0%"),
    Column("faster", "FASTER", ".1%"),
    Column("slower", "SLOWER", ".1%"),
    Column("same", "SAME", ".1%"),
    Column("inconclusive", "INCONCLUSIVE", ".1%"),
    Column("found", "right", ".1%"),
    Column("false", "false", ".1%"),
    Column("sessions", "sessions", "d"),
)
_VERDICTS = ("faster", "slower", "same", "inconclusive")
_PATTERNS = {"slower": "/", "inconclusive": "."}
_ROW_PX, _FRAME_PX = 34, 100


def section(sources: Sources) -> Section:
    """Return the section: one chart, a view for each design and change."""
    missing = Missing(
        "no rates of verdicts are recorded", "./nox -s bench -- --suite verdicts --record"
    )
    groups: dict[tuple[str, float], list[Rate]] = {}
    for rate in sources.rates:
        if rate.sessions > 0:
            groups.setdefault((rate.design, rate.change), []).append(rate)
    if not groups:
        return Section("verdicts", "How far to trust a verdict", LEAD, (), missing)
    chart = Chart(
        title="Verdicts on sessions of known truth",
        description="Stacked bars of the share of each verdict, for each kind of noise.",
        views=[
            View(f"{design}, {_truth(change)}", _bars(rates))
            for (design, change), rates in groups.items()
        ],
        table=Table(_COLUMNS, [_row(rate) for rates in groups.values() for rate in rates]),
        choice="Truth",
    )
    return Section("verdicts", "How far to trust a verdict", LEAD, [chart])


def _truth(change: float) -> str:
    if change == 0:
        return "no change"
    return f"{abs(change):.0%} {'slower' if change > 0 else 'faster'}"


def _row(rate: Rate) -> list[Cell]:
    shares = [getattr(rate, verdict) / rate.sessions for verdict in _VERDICTS]
    return [rate.design, rate.noise, rate.change, *shares, rate.found, rate.false, rate.sessions]


def _bars(rates: Sequence[Rate]) -> Figure:
    traces = []
    for verdict in _VERDICTS:
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": verdict.upper(),
                "y": list(range(len(rates))),
                "x": [getattr(rate, verdict) / rate.sessions for rate in rates],
                "customdata": [plain(rate.noise) for rate in rates],
                "hovertemplate": f"%{{customdata}}: {verdict.upper()} in %{{x:.1%}}<extra></extra>",
                "width": 0.6,
                "marker": {
                    "color": f"var(--{verdict})",
                    "pattern": hatched(_PATTERNS.get(verdict, "")),
                },
            }
        )
    return figure(
        traces,
        height=_ROW_PX * len(rates) + _FRAME_PX,
        xaxis=axis(tickformat=".0%", range=[0, 1]),
        yaxis=axis(
            tickvals=list(range(len(rates))),
            ticktext=[plain(rate.noise) for rate in rates],
            range=[len(rates) - 0.4, -0.6],
            showgrid=False,
        ),
        barmode="stack",
        showlegend=True,
        legend={**LEGEND, "traceorder": "normal"},
    )
