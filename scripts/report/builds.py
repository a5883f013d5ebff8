"""Sections on builds: the layers of the last one, what a change costs, what bumps make pulled."""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.bench.rebuild.output import Cost, costs
from scripts.bench.replay.evaluate import Pull
from scripts.bench.replay.plot import lines
from scripts.build.record import BuildRecord, Layer
from scripts.report.content import Cell, Chart, Column, Figure, Missing, Section, Table, View
from scripts.report.figures import DASHES, LEGEND, axis, figure, hatched, logarithmic, plain, styles
from scripts.report.sources import Sources

_MB = 1e6
_LAYERS_PX, _REPLAY_PX, _CHANGE_PX, _FRAME_PX = 460, 420, 46, 110
_LEAST_MB = 0.001
"""A logarithmic axis has no zero: a change that stores nothing gets this."""


def layers(sources: Sources) -> Section:
    """Return the section on the newest image of each profile: a treemap of its layers."""
    return Section(
        "layers",
        "The image, layer by layer",
        "Areas are bytes as stored and pulled, in MB (10^6 bytes), of the image that was built "
        "last here. A layer is pulled whole when one file in it changed. Blue holds Python "
        "packages, green Debian's, ochre the web UI, its model and what drives it.",
        [
            Chart(
                title=f"Profile {name}",
                description=f"Treemap of the layers of the image of profile {name}.",
                views=[
                    View("MB to pull", _treemap(record, "size"), _built(record)),
                    View("MB on disk", _treemap(record, "unpacked"), _built(record)),
                ],
                table=Table(_LAYER_COLUMNS, [_layer(each) for each in record.layers]),
                choice="Areas are",
            )
            for name, record in sources.builds.items()
        ],
        None if sources.builds else Missing("nothing was built here yet", "./nox -s build"),
    )


_LAYER_COLUMNS = (
    Column("layer", "layer"),
    Column("pull_mb", "MB to pull", ",.1f"),
    Column("disk_mb", "MB on disk", ",.1f"),
    Column("cached", "from the cache"),
    Column("seconds", "seconds", ".1f"),
    Column("digest", "digest"),
)


def _layer(layer: Layer) -> list[Cell]:
    return [
        layer.name,
        None if layer.size is None else layer.size / _MB,
        None if layer.unpacked is None else layer.unpacked / _MB,
        layer.cached,
        layer.seconds,
        layer.digest,
    ]


def _built(record: BuildRecord) -> str:
    changes = " with changes" if record.git_dirty else ""
    replaced = [f"{name} by {what}" for name, what in sorted(record.replaced.items())]
    return " ".join(
        [
            f"{record.image}, {record.digest[:19]}, built {record.utc} in {record.seconds:.1f} s",
            f"by {record.engine}; locks {record.lock_sha256[:9]},",
            f"commit {record.git_sha[:9] or 'unknown'}{changes}.",
            *([f"Replaced: {', '.join(replaced)}."] if replaced else []),
        ]
    )


def _kind(name: str) -> str:
    """Return a layer's colour by its kind: Python packages, Debian, the web UI."""
    if name.startswith("py-"):
        return "var(--packages)"
    return "var(--debian)" if name in ("base", "system", "layout") else "var(--ours)"


def _treemap(record: BuildRecord, attribute: str) -> Figure:
    sized = [(each.name, getattr(each, attribute)) for each in record.layers]
    known = [(name, size / _MB) for name, size in sized if size]
    return {
        "data": [
            {
                "type": "treemap",
                "labels": [plain(name) for name, _ in known],
                "parents": ["" for _ in known],
                "values": [size for _, size in known],
                "texttemplate": "<b>%{label}</b><br>%{value:,.1f} MB",
                "hovertemplate": "%{label}: %{value:,.1f} MB, %{percentRoot:.1%}<extra></extra>",
                "marker": {
                    "colors": [_kind(name) for name, _ in known],
                    "line": {"color": "var(--page)", "width": 2},
                    "pad": {"t": 2, "l": 2, "r": 2, "b": 2},
                },
                "textfont": {"color": "var(--on-colour)"},
                "tiling": {"pad": 0},
                "pathbar": {"visible": False},
            }
        ],
        "layout": {
            "height": _LAYERS_PX,
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": "var(--ink)", "size": 13},
            "hoverlabel": {"bgcolor": "var(--raised)", "font": {"color": "var(--ink)"}},
        },
    }


def rebuilds(sources: Sources) -> Section:
    """Return the section on what changes cost: bars of both orders of layers, change by change."""
    return Section(
        "rebuild",
        "What a change costs to build",
        "Each change was built in this project's order of layers and in that of worker-a1111: "
        "seconds until the image can run again, and MB of layers that are new and must be pulled. "
        "Medians of the builds, on a logarithmic axis.",
        [
            Chart(
                title=f"Profile {name}",
                description=f"Bars of seconds and MB for each change, profile {name}.",
                views=[
                    View("Seconds to build", _pairs(found, "seconds", 1, "seconds")),
                    View("MB of new layers", _pairs(found, "new_bytes", _MB, "MB")),
                ],
                table=Table(_COST_COLUMNS, [_cost(each) for each in found]),
            )
            for name, builds in sources.rebuilds.items()
            for found in [costs(builds)]
        ],
        None
        if sources.rebuilds
        else Missing(
            "no costs of changes are recorded", "./nox -s bench -- --suite rebuild --record"
        ),
    )


_COST_COLUMNS = (
    Column("change", "change"),
    Column("order", "order of layers"),
    Column("seconds", "seconds", ",.2f"),
    Column("new_mb", "MB new", ",.3f"),
    Column("new_layers", "new layers", "d"),
    Column("reused_layers", "reused", "d"),
    Column("builds", "builds", "d"),
)


def _cost(cost: Cost) -> list[Cell]:
    return [
        cost.change,
        cost.order,
        cost.seconds,
        cost.new_bytes / _MB,
        cost.new_layers,
        cost.reused_layers,
        cost.runs,
    ]


def _pairs(found: Sequence[Cost], attribute: str, unit: float, unit_name: str) -> Figure:
    orders = list(dict.fromkeys(cost.order for cost in found))
    changes = list(dict.fromkeys(cost.change for cost in found))
    traces = []
    drawn: list[float] = []
    for place, order in enumerate(orders):
        mine = [cost for cost in found if cost.order == order]
        values = [getattr(cost, attribute) / unit for cost in mine]
        shown = [max(value, _LEAST_MB) for value in values]
        drawn += shown
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": plain(order),
                "y": [changes.index(cost.change) for cost in mine],
                "x": shown,
                "text": [f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in values],
                "textposition": "outside",
                "textfont": {"size": 11},
                "cliponaxis": False,
                "customdata": [
                    f"{plain(cost.change)}<br>{plain(order)}: {value:,.4g} {unit_name}, "
                    f"{cost.runs} builds"
                    for cost, value in zip(mine, values, strict=True)
                ],
                "hovertemplate": "%{customdata}<extra></extra>",
                "marker": {
                    "color": ("var(--series-0)", "var(--series-2)")[place % 2],
                    "pattern": hatched(("", "/")[place % 2]),
                },
            }
        )
    return figure(
        traces,
        height=_CHANGE_PX * len(changes) + _FRAME_PX,
        xaxis=logarithmic(drawn, unit_name),
        yaxis=axis(
            tickvals=list(range(len(changes))),
            ticktext=[plain(change) for change in changes],
            range=[len(changes) - 0.4, -0.6],
            showgrid=False,
        ),
        margin={"l": 8, "r": 56, "t": 8, "b": 8},
        barmode="group",
        bargap=0.3,
        showlegend=True,
        legend={**LEGEND, "entrywidth": None},
    )


def replays(sources: Sources) -> Section:
    """Return the section on what past bumps would have made a worker pull."""
    return Section(
        "replay",
        "What bumps make a worker pull",
        "The locks of past months, recomputed, and what each bump between them would have made a "
        "worker pull under several groupings of packages into layers, added up month by month. "
        "Lower is better; the axis is logarithmic.",
        [
            Chart(
                title=f"Profile {name}",
                description=f"Lines of the GB pulled in all, month by month, profile {name}.",
                views=[View("pulled in all", _pulled(pulls), _left_out(pulls))],
                table=Table(_PULL_COLUMNS, _totals(pulls)),
            )
            for name, pulls in sources.pulls.items()
        ],
        None
        if sources.pulls
        else Missing(
            "no replay is recorded", "./nox -s bench -- --suite replay --profile runpod --record"
        ),
    )


_PULL_COLUMNS = (
    Column("grouping", "grouping"),
    Column("without", "without"),
    Column("layers", "layers", "d"),
    Column("bumps", "bumps", "d"),
    Column("pulled_mb", "MB in all", ",.0f"),
    Column("mb_a_bump", "MB a bump", ",.0f"),
    Column("first", "from"),
    Column("last", "to"),
)


def _left_out(pulls: Sequence[Pull]) -> str:
    """Return what a label's "without it" means."""
    names = sorted({pull.without for pull in pulls} - {""})
    return f"Without it: as if no .in file held {', '.join(names)}." if names else ""


def _totals(pulls: Sequence[Pull]) -> list[list[Cell]]:
    groups: dict[tuple[str, str], list[Pull]] = {}
    for pull in pulls:
        groups.setdefault((pull.without, pull.grouping), []).append(pull)
    totals = {key: sum(pull.pulled_bytes for pull in mine) / _MB for key, mine in groups.items()}
    return [
        [
            key[1],
            key[0],
            groups[key][0].layers,
            len(groups[key]),
            totals[key],
            totals[key] / len(groups[key]),
            min(pull.month for pull in groups[key]).isoformat()[:7],
            max(pull.month for pull in groups[key]).isoformat()[:7],
        ]
        for key in sorted(groups, key=lambda key: (key[0], -totals[key]))
    ]


def _pulled(pulls: Sequence[Pull]) -> Figure:
    months = sorted({pull.month for pull in pulls})
    traces: list[Mapping[str, Any]] = []
    drawn = lines(pulls)
    looks = styles([line.label for line in drawn], known=())
    for place, line in enumerate(drawn):
        shown = "<br>".join(plain(part) for part in line.label.split("\n"))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": shown,
                "x": [month.isoformat() for month in months],
                "y": [value / 1e3 for value in line.values],
                "hovertemplate": f"{shown}<br>%{{x|%Y-%m}}: %{{y:,.2f}} GB in all<extra></extra>",
                # Without markers, it is the dashes that tell lines apart beside their colours.
                "line": {**looks[line.label]["line"], "dash": DASHES[place % len(DASHES)]},
            }
        )
    return figure(
        traces,
        height=_REPLAY_PX + 24 * len(drawn),
        xaxis=axis(type="date", tickformat="%Y-%m", nticks=6),
        yaxis=logarithmic([total for each in traces for total in each["y"]], "GB"),
        showlegend=True,
        legend={**LEGEND, "orientation": "v"},
    )
