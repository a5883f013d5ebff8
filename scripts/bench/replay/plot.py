"""The chart: what a worker would have pulled in all, month by month."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from scripts.bench.replay import groupings
from scripts.bench.replay.evaluate import Pull
from scripts.workspace.paths import CACHE

# Okabe and Ito's colours, which people with any colour vision tell apart; the dashes differ, too.
STYLES = (
    ("#000000", "solid"),
    ("#D55E00", "solid"),
    ("#E69F00", "dashed"),
    ("#0072B2", "solid"),
    ("#009E73", "dashdot"),
    ("#CC79A7", "dotted"),
    ("#56B4E9", "solid"),
    ("#999999", "dashed"),
    ("#000000", "dotted"),
)
DRAWN = (
    groupings.ONE_LAYER,
    groupings.PER_ENVIRONMENT,
    groupings.STACKED,
    groupings.FOUR,
    groupings.OURS,
    groupings.OPTIMIZED,
    groupings.LIMIT,
)
# Drawn also for the past without the requirements that are left out.
WITHOUT = (groupings.FOUR, groupings.OURS)
# Two labels on a logarithmic axis do not touch from this ratio on.
APART = 1.25


@dataclass(frozen=True)
class Line:
    """What groupings of the same values would have pulled up to each month, in MB."""

    label: str
    values: Sequence[float]


def lines(pulls: Sequence[Pull]) -> list[Line]:
    """Return what is drawn, the most first."""
    found: dict[tuple[float, ...], list[str]] = {}
    last = max(row.without for row in pulls)
    chosen = [*(("", name) for name in DRAWN), *((last, name) for name in WITHOUT)]
    for without, name in dict.fromkeys(chosen):
        rows = [row for row in pulls if (row.without, row.grouping) == (without, name)]
        sizes = [row.pulled_bytes / 1e6 for row in sorted(rows, key=lambda row: row.month)]
        title = f"{name}, without it" if without else name
        found.setdefault(tuple(accumulate(sizes)), []).append(title)
    made = [Line(" =\n".join(names), values) for values, names in found.items()]
    return sorted(made, key=lambda line: -line.values[-1])


def spread(values: Sequence[float]) -> list[float]:
    """Return where labels stand that do not touch; `values` are falling, and so is what comes."""
    places: list[float] = []
    for value in reversed(values):
        places.append(max(value, places[-1] * APART if places else 0))
    return places[::-1]


def png(pulls: Sequence[Pull], title: str) -> bytes:
    """Return the chart as PNG; the same pulls give the same bytes with the same matplotlib."""
    # matplotlib asks for this once, when it is imported: everything produced lies in one folder.
    os.environ.setdefault("MPLCONFIGDIR", str(CACHE / "matplotlib"))
    import matplotlib  # here, because it takes half a second that no other suite needs
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the settings of whoever runs this
        figure = Figure(figsize=(12, 7), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        months = sorted({row.month for row in pulls})
        drawn = lines(pulls)
        places = spread([line.values[-1] for line in drawn])
        for line, place, (colour, dashes) in zip(drawn, places, STYLES, strict=False):
            axes.plot(range(len(months)), line.values, color=colour, linestyle=dashes, linewidth=2)
            axes.annotate(
                f"{line.label}: {line.values[-1] / 1e3:.1f} GB",
                (len(months) - 1, line.values[-1]),
                (len(months) - 0.5, place),
                color=colour,
                va="center",
                fontsize=11,
                arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5},
            )
        axes.set_yscale("log")
        axes.set_yticks([100, 1_000, 10_000, 100_000], ["100 MB", "1 GB", "10 GB", "100 GB"])
        ticks = range((len(months) - 1) % 3, len(months), 3)
        axes.set_xticks(ticks, [f"{months[tick]:%Y-%m}" for tick in ticks])
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd")
        axes.set_xlim(0, len(months) - 1)
        axes.set_ylabel("pulled in all since the first bump")
        axes.set_title(title, loc="left", fontsize=13)
        out = io.BytesIO()
        # Without the name and version of matplotlib; a PNG of it holds no date.
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
