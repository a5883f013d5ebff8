"""The rows of the suite as CSV, as a table and as a chart."""

import csv
import io
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

from rich import box
from rich.table import Table

from scripts.workspace.paths import CACHE

BASE = "first build"


@dataclass(frozen=True)
class Build:
    """One build of an order after a change; `new_bytes` are of layers as they are stored.

    `seconds` are buildx's alone. A person waits for what `./nox -s build` does around it, too; that
    is the same in both orders.
    """

    order: str
    change: str
    run: int
    seconds: float
    new_bytes: int
    new_layers: int
    reused_layers: int


@dataclass(frozen=True)
class Cost:
    """What a change costs in an order: medians over its builds."""

    order: str
    change: str
    runs: int
    seconds: float
    new_bytes: int
    new_layers: int
    reused_layers: int


def costs(builds: Iterable[Build]) -> list[Cost]:
    """Return the medians, in the order in which the changes were measured first."""
    groups: dict[tuple[str, str], list[Build]] = {}
    for build in builds:
        groups.setdefault((build.order, build.change), []).append(build)
    return [
        Cost(
            order=order,
            change=change,
            runs=len(each),
            seconds=statistics.median(build.seconds for build in each),
            new_bytes=round(statistics.median(build.new_bytes for build in each)),
            new_layers=round(statistics.median(build.new_layers for build in each)),
            reused_layers=round(statistics.median(build.reused_layers for build in each)),
        )
        for (order, change), each in groups.items()
    ]


def csv_text(builds: Sequence[Build]) -> str:
    """Return a CSV file with a row for each build."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Build)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(build) for build in builds)
    return out.getvalue()


def table(found: Sequence[Cost]) -> Table:
    """Return the costs as a table, a change a row and the orders side by side."""
    orders = list(dict.fromkeys(cost.order for cost in found))
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("change")
    for order in orders:
        for what in ("s", "MB new", "layers new"):
            made.add_column(f"{order}\n{what}", justify="right")
    by_place = {(cost.change, cost.order): cost for cost in found}
    for change in dict.fromkeys(cost.change for cost in found):
        cells = []
        for order in orders:
            cost = by_place.get((change, order))
            cells += (
                [f"{cost.seconds:.1f}", f"{cost.new_bytes / 1e6:,.2f}", str(cost.new_layers)]
                if cost
                else ["", "", ""]
            )
        made.add_row(change, *cells)
    return made


def png(found: Sequence[Cost], title: str) -> bytes:
    """Return the chart: seconds and new MB of each change, both orders, on logarithmic axes."""
    os.environ.setdefault("MPLCONFIGDIR", str(CACHE / "matplotlib"))
    import matplotlib  # here, because it takes half a second that no other suite needs
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    orders = list(dict.fromkeys(cost.order for cost in found))
    changes = list(dict.fromkeys(cost.change for cost in found))
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the settings of whoever runs this
        figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, label, attribute, unit in (
            (left, "seconds of buildx until the image can run", "seconds", 1),
            (right, "MB of new layers", "new_bytes", 1e6),
        ):
            for number, (order, colour) in enumerate(zip(orders, COLOURS, strict=False)):
                mine = [cost for cost in found if cost.order == order]
                places = [changes.index(cost.change) + 0.38 * (number - 0.5) for cost in mine]
                values = [max(getattr(cost, attribute) / unit, LEAST) for cost in mine]
                bars = axes.barh(places, values, height=0.36, color=colour, label=order)
                axes.bar_label(bars, [f" {_short(each)}" for each in values], fontsize=9)
            axes.set_xscale("log")
            axes.set_xlabel(label)
            axes.spines[["top", "right"]].set_visible(False)
            axes.margins(x=0.15)
        left.set_yticks(range(len(changes)), changes)
        left.invert_yaxis()
        figure.suptitle(title, x=0.01, ha="left", fontsize=13)
        figure.legend(*right.get_legend_handles_labels(), frameon=False, loc="upper right", ncols=2)
        out = io.BytesIO()
        # Without the name and version of matplotlib; a PNG of it holds no date.
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _short(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# A logarithmic axis has no zero.
LEAST = 0.001
# Okabe and Ito's blue and vermilion, which people with any colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00")
