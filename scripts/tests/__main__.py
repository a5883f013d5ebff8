"""`./nox -s tests`: pytest on the chosen folders of tests/."""

import argparse
import signal
import sys

import pytest

from scripts.tests.options import KINDS
from scripts.workspace.cli import run
from scripts.workspace.paths import ROOT

# Of one unit test, which takes seconds at most; pyproject.toml has the limit of all others.
UNIT_TIMEOUT_S = 300


def main(args: argparse.Namespace) -> int:
    """Run the unit tests on every core, and then, one at a time, those that share an engine."""
    # pytest takes down its fixtures after Ctrl-C, but a SystemExit for the failure of one test.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kinds = [kind for kind in KINDS if kind in (args.kinds or KINDS)]
    chosen = [*(["-k", args.k] if args.k else []), *(["-x"] if args.x else [])]
    if "unit" in kinds:
        code = _pytest(["unit"], ["--numprocesses=auto", f"--timeout={UNIT_TIMEOUT_S}", *chosen])
        # With -k, a kind without a match is passed over.
        passed_over = args.k and code == pytest.ExitCode.NO_TESTS_COLLECTED
        if kinds == ["unit"] or (code and not passed_over):
            return code
    return _pytest([kind for kind in kinds if kind != "unit"], chosen)


def _pytest(kinds: list[str], options: list[str]) -> int:
    return int(pytest.main([*(str(ROOT / "tests" / kind) for kind in kinds), *options]))


if __name__ == "__main__":
    sys.exit(run("tests", main))
