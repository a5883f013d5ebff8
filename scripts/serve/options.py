"""The arguments of `serve`."""

from scripts.serve import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser


def parser() -> Parser:
    """Return the parser of `./nox -s serve -- ...`."""
    made = new_parser("serve", (description or "") + " Ctrl-C stops it.")
    made.add_argument("--profile", default="sandbox", help="whose image (default: sandbox)")
    made.add_argument("--port", type=int, default=8000, help="on this machine (default: 8000)")
    return made
