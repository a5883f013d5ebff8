"""The arguments of `tests`."""

from scripts.tests import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser

KINDS = ("unit", "registry", "browser", "engine", "image", "e2e")


def parser() -> Parser:
    """Return the parser of `./nox -s tests -- ...`."""
    made = new_parser("tests", description or "")
    made.add_argument(
        "kinds", nargs="*", choices=[[], *KINDS], metavar="KIND", help=f"of {', '.join(KINDS)}"
    )
    made.add_argument("-k", metavar="EXPRESSION", help="only tests whose names match, as in pytest")
    made.add_argument("-x", action="store_true", help="stop at the first failure")
    return made
