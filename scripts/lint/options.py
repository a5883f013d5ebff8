"""The arguments of `lint`."""

from scripts.lint import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser


def parser() -> Parser:
    """Return the parser of `./nox -s lint -- ...`."""
    return new_parser("lint", description or "")
