"""The outermost layer of every command: arguments, messages and exit codes.

Sessions that run together share the arguments after `--`. Each command takes the ones it knows and
passes over those that another chosen command knows; what none of them knows is an error.
"""

import argparse
import difflib
import errno
import importlib
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from scripts.workspace.errors import BadInput, Failure

# Set by the noxfile: the commands that were chosen together, separated by spaces.
CHOSEN = "SDKILN_SESSIONS"

DISK_HINTS = {
    errno.ENOSPC: "Free some space where the repository, SDKILN_WORKSPACE and TMPDIR are.",
    errno.EROFS: "The repository, SDKILN_WORKSPACE and TMPDIR must be where files can be written.",
    errno.EACCES: "The repository, SDKILN_WORKSPACE and TMPDIR must be the user's to write to.",
}


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong usage as every other bad input is reported."""

    def error(self, message: str) -> NoReturn:
        """Raise BadInput with argparse's message."""
        raise BadInput(f"{message}.", hint=f"See ./{self.prog} --help")


def parser(command: str, description: str) -> Parser:
    """Return the parser that `./nox -s COMMAND -- --help` shows, with the options all share."""
    made = Parser(
        prog=f"nox -s {command} --",
        description=description,
        # An abbreviation could mean one thing to this command and another to its neighbour.
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--verbose", action="store_true", help="show the traceback of a failure")
    return made


def options(command: str) -> Parser:
    """Return the parser of any command, from the module that holds nothing but its options."""
    made = importlib.import_module(f"scripts.{command}.options").parser()
    assert isinstance(made, Parser)
    return made


def parse(command: str, arguments: Sequence[str], chosen: Sequence[str]) -> argparse.Namespace:
    """Return what `command` knows of `arguments`.

    Raises BadInput for an argument that neither `command` nor any of `chosen` knows.
    """
    taken, rest = options(command).parse_known_args(arguments)
    others = [name for name in chosen if name != command]
    for other in others:
        if not rest:
            break
        if other_rest := _unknown_to(other, arguments):
            rest = [argument for argument in rest if argument in other_rest]
        else:
            rest = []
    if rest:
        raise BadInput(
            f"no chosen command knows {shlex.join(rest)}.{_nearest(rest[0], [command, *others])}",
            hint=f"See ./nox -s {command} -- --help",
        )
    return taken


def _unknown_to(command: str, arguments: Sequence[str]) -> list[str]:
    help_free = [argument for argument in arguments if argument not in ("-h", "--help")]
    try:
        return options(command).parse_known_args(help_free)[1]
    except BadInput:
        return []  # A neighbour's missing or wrong value is for the neighbour to report.


def _nearest(argument: str, commands: Sequence[str]) -> str:
    known = {
        option
        for command in commands
        for action in options(command)._actions
        for option in action.option_strings
    }
    close = difflib.get_close_matches(argument.split("=")[0], sorted(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def run(command: str, main: Callable[[argparse.Namespace], int]) -> int:
    """Run a command's `main` with the arguments of the process; return its exit code.

    A Failure is printed without a traceback unless --verbose is given. Ctrl-C ends with 130,
    SIGTERM with 143, both after the clean-up that `finally` blocks do.
    """
    signal.signal(signal.SIGTERM, _terminate)
    arguments = sys.argv[1:]
    verbose = "--verbose" in arguments
    try:
        chosen = os.environ.get(CHOSEN, command).split()
        return main(parse(command, arguments, chosen))
    except Failure as failure:
        if verbose:
            traceback.print_exc()
        say(f"{command}: {failure.message}")
        if failure.hint:
            say(f"  {failure.hint}")
        return failure.code
    except KeyboardInterrupt:
        say(f"{command}: stopped by Ctrl-C; nothing half-written is left.")
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        # No space, no permission: the machine's fault, which a traceback does not explain.
        if verbose:
            traceback.print_exc()
        say(
            f"{command}: {error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        )
        if hint := DISK_HINTS.get(error.errno or 0):
            say(f"  {hint}")
        return 1
    except Exception:
        traceback.print_exc()
        say(f"{command}: this is a fault of sdkiln; the traceback above is what to report.")
        return 1


def say(line: str) -> None:
    """Print a line for a person, on stderr."""
    print(line, file=sys.stderr, flush=True)


def _terminate(number: int, _frame: object) -> None:
    # A second one must not interrupt the clean-up that the first began.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)
