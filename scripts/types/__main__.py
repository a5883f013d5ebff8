"""`./nox -s types`: one tool after the other, until one says no."""

import argparse
import sys

from scripts.workspace.cli import run
from scripts.workspace.tools import run_all

TOOLS = (("mypy",),)


def main(_: argparse.Namespace) -> int:
    """Run the tools."""
    return run_all(TOOLS)


if __name__ == "__main__":
    sys.exit(run("types", main))
