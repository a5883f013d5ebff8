"""The arguments of `lock`."""

from scripts.lock import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser

EXPLANATION = """
Without any argument: write what the inputs ask for.

No pin moves past the day that [lock] as_of in workspace.toml names, or, for the packages in [lock]
ahead, past a day of their own. --upgrade and --as-of write these days, compute the locks anew and
show what moved. What an index hid when a lock was made may move it on the same day, too.
"""


def parser() -> Parser:
    """Return the parser of `./nox -s lock -- ...`."""
    made = new_parser("lock", (description or "") + EXPLANATION)
    forward = made.add_argument_group("moving pins")
    forward.add_argument(
        "--upgrade",
        nargs="*",
        metavar="NAME",
        help="move these packages, images, sources, models or `debian` to the newest there is; "
        "without a name: everything, packages to what there was a week ago",
    )
    forward.add_argument(
        "--as-of",
        metavar="DATE",
        help="lock all packages, or those that --upgrade names, as they were at the end of this "
        "day in UTC, also again; `today` is the last day that is over",
    )
    forward.add_argument(
        "--require-fresh",
        action="store_true",
        help="look up every image, source, model and Debian package, or those that --upgrade "
        "names; one that cannot be reached is an error, not a pin that stays",
    )
    forward.add_argument(
        "--dry-run", action="store_true", help="show what would move, and write nothing"
    )
    questions = made.add_argument_group("questions, which write no lockfile")
    one = questions.add_mutually_exclusive_group()
    one.add_argument(
        "--check",
        action="store_true",
        help="ask nobody: do the lockfiles follow from the inputs? (exit code 3: no)",
    )
    one.add_argument(
        "--why", metavar="PACKAGE", help="what asks for it, where, since when, how large"
    )
    one.add_argument(
        "--verify",
        nargs="*",
        metavar="TARGET",
        help="compute the locks of these targets again with pip-tools and compare every version "
        "and hash; without a name: all (exit code 3: they differ, 4: some cannot be verified on "
        "this machine, which has not their Python or is of another platform)",
    )
    one.add_argument(
        "--install",
        metavar="TARGET",
        help="install a lock into a throw-away environment and import what it is for "
        "(exit code 3: something does not import)",
    )
    one.add_argument(
        "--pylock",
        action="store_true",
        help="write every target as a pylock.toml (PEP 751) below .workspace/pylock",
    )
    return made
