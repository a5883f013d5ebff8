"""The arguments of `report`."""

from pathlib import Path

from scripts.report import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser
from scripts.workspace.paths import REPORT, shown


def parser() -> Parser:
    """Return the parser of `./nox -s report -- ...`."""
    made = new_parser("report", description or "")
    made.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=REPORT,
        help=f"where index.html is written (default: {shown(REPORT)})",
    )
    return made
