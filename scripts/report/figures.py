"""Parts of plotly figures: axes, lines and texts, in colours that page.css names."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

INK, MUTED, GRID, FLAGGED = "var(--ink)", "var(--muted)", "var(--grid)", "var(--flagged)"
# Okabe and Ito's colours, which people with any colour vision tell apart; symbols and dashes
# differ, too, because there are more backends than colours.
_COLOURS = tuple(f"var(--series-{number})" for number in range(8))
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star", "pentagon")
DASHES = ("solid", "dash", "dot", "dashdot")
BACKENDS = (
    "sdp",
    "sdp-no-mem",
    "xformers",
    "Doggettx",
    "sub-quadratic",
    "V1",
    "InvokeAI",
    "naive",
)
"""These look the same in every chart."""


def plain(text: str) -> str:
    """Return `text` as plotly shows it: without this, it takes tags and entities for markup."""
    return html.escape(text, quote=False)


def styles(names: Iterable[str], known: Sequence[str] = BACKENDS) -> dict[str, dict[str, Any]]:
    """Return line and marker of each series; what is not `known` has a place after what is."""
    places = dict.fromkeys((*known, *names))
    return {name: _style(place) for place, name in enumerate(places)}


def _style(place: int) -> dict[str, Any]:
    around = place // len(_COLOURS)
    colour = _COLOURS[place % len(_COLOURS)]
    return {
        "line": {"color": colour, "width": 2, "dash": DASHES[around % len(DASHES)]},
        "marker": {
            "color": colour,
            "size": 8,
            "symbol": _SYMBOLS[(place + around) % len(_SYMBOLS)],
        },
    }


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis with a quiet grid; it stays where it is under a finger."""
    named = {"title": {"text": title, "standoff": 10, "font": {"size": 13, "color": MUTED}}}
    return {
        **(named if title else {}),
        "gridcolor": GRID,
        "linecolor": GRID,
        "zerolinecolor": GRID,
        "automargin": True,
        "fixedrange": True,
        **more,
    }


def logarithmic(values: Iterable[float], title: str, **more: Any) -> dict[str, Any]:
    """Return a logarithmic axis for `values`, with ticks at round numbers."""
    positive = [value for value in values if value > 0] or [1.0]
    found = ticks(min(positive), max(positive))
    texts = [f"{tick:,.6g}" for tick in found]
    return axis(title, type="log", tickvals=found, ticktext=texts, **more)


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers from the one below `low` to the one above `high`; both are above zero.

    Powers of ten over more than two decades, with their double and fivefold over fewer, and equal
    steps over less than a factor of four.
    """
    if high / low < 4:
        rough = max((high - low) / 5, low / 100)
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * min(each for each in (1, 2, 2.5, 5, 10) if each * power >= rough)
        first, last = math.floor(low / step), math.ceil(high / step)
        return [_round(step * each) for each in range(max(first, 1), last + 1)]
    factors = (1,) if high / low > 100 else (1, 2, 5)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [_round(factor * 10.0**power) for power in powers for factor in factors]


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def hatched(shape: str | Sequence[str]) -> dict[str, Any]:
    """Return a pattern over a bar's colour, by which bars differ for whoever sees no colour."""
    return {
        "shape": shape,
        "fillmode": "overlay",
        "fgcolor": "var(--page)",
        "fgopacity": 0.55,
        "size": 7,
        "solidity": 0.2,
    }


def figure(
    data: Sequence[Mapping[str, Any]],
    height: int,
    xaxis: Mapping[str, Any],
    yaxis: Mapping[str, Any],
    **layout: Any,
) -> dict[str, Any]:
    """Return a figure `height` pixels high, as wide as the page lets it be."""
    return {
        "data": list(data),
        "layout": {
            "height": height,
            "margin": {"l": 8, "r": 28, "t": 8, "b": 8},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": INK, "size": 13},
            "hoverlabel": {"bgcolor": "var(--raised)", "font": {"color": INK}, "align": "left"},
            "hovermode": "closest",
            "dragmode": False,
            "showlegend": False,
            "xaxis": dict(xaxis),
            "yaxis": dict(yaxis),
            **layout,
        },
    }


LEGEND: Mapping[str, Any] = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1,
    "yanchor": "bottom",
    "bgcolor": "rgba(0,0,0,0)",
    "entrywidth": 88,
    "font": {"size": 11},
}
"""Above the chart, where it takes no width; a click on a name hides its series. Entries are as wide
as the longest name of a backend, so that two of them stand side by side on a phone."""


def guide(**where: Any) -> dict[str, Any]:
    """Return a thin dotted line; `where` says from where to where."""
    return {
        "type": "line",
        "layer": "below",
        "line": {"color": MUTED, "width": 1, "dash": "dot"},
        **where,
    }
