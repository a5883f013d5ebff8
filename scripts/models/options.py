"""The arguments of `models`."""

from scripts.models import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser


def parser() -> Parser:
    """Return the parser of `./nox -s models -- ...`."""
    made = new_parser("models", description or "")
    made.add_argument("--profile", default="sandbox", help="whose model (default: sandbox)")
    return made
