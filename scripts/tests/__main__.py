"""`./nox -s tests`: pytest on the chosen folders of tests/."""

import argparse
import sys

import pytest

from scripts.tests.options import KINDS
from scripts.workspace.cli import run
from scripts.workspace.paths import ROOT


def main(args: argparse.Namespace) -> int:
    """Run pytest in order of cost: what is fast fails first."""
    folders = [str(ROOT / "tests" / kind) for kind in KINDS if kind in (args.kinds or KINDS)]
    chosen = [*(["-k", args.k] if args.k else []), *(["-x"] if args.x else [])]
    return int(pytest.main([*folders, *chosen]))


if __name__ == "__main__":
    sys.exit(run("tests", main))
