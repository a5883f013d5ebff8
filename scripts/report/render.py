"""The page as HTML: one file that holds its styles, its charts and the data behind them."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from scripts.report.content import Chart, Page

FOLDER = Path(__file__).parent


def html(page: Page) -> str:
    """Return the page's HTML.

    What result files hold is escaped as text by the template and as JSON by `embedded`. The page's
    policy lets nothing run but the two scripts named by their SHA-256, and nothing be fetched.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["embedded"] = embedded
    scripts = [get_plotlyjs(), (FOLDER / "page.js").read_text(encoding="utf-8")]
    return environment.get_template("page.html").render(
        page=page,
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        # Ours, or plotly's: no input is in them.
        scripts=[Markup(each) for each in scripts],
        hashes=[_hash(each) for each in scripts],
        behind=behind,
        figures=figures,
    )


def behind(chart: Chart) -> dict[str, Any]:
    """Return the data of a chart for other programs: its table's rows as objects."""
    titles = {column.key: column.title for column in chart.table.columns}
    return {"title": chart.title, "columns": titles, "rows": chart.table.records()}


def figures(chart: Chart) -> list[dict[str, Any]]:
    """Return what page.js draws of a chart."""
    return [{"figure": view.figure, "note": view.note} for view in chart.views]


def embedded(value: object) -> Markup:
    """Return JSON for a script element: nothing in it could end the element or begin a comment.

    Raises ValueError for a number that JSON has not (infinity).
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _hash(script: str) -> str:
    """Return a script's hash as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
