"""The arguments of `types`."""

from scripts.types import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser


def parser() -> Parser:
    """Return the parser of `./nox -s types -- ...`."""
    return new_parser("types", description or "")
