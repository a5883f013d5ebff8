"""The arguments of `engine`."""

from scripts.engine import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser


def parser() -> Parser:
    """Return the parser of `./nox -s engine -- ...`."""
    made = new_parser("engine", description or "")
    made.add_argument("action", nargs="?", choices=("status", "start", "stop"), default="status")
    return made
