"""The arguments of `lock`."""

from scripts.lock import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser


def parser() -> Parser:
    """Return the parser of `./nox -s lock -- ...`."""
    made = new_parser("lock", (description or "") + " Without any: write what the inputs ask for.")
    made.add_argument(
        "--check",
        action="store_true",
        help="write nothing and ask nobody: do the lockfiles follow from the inputs? "
        "(exit code 3: no)",
    )
    return made
