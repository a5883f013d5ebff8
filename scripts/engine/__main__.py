"""`./nox -s engine`: the engine's status, start and stop."""

import argparse
import sys

from scripts.build import engine
from scripts.workspace.cli import run


def main(args: argparse.Namespace) -> int:
    """Do what was asked and say what is now so."""
    if args.action == "start":
        engine.ensure()
    if args.action == "stop":
        stopped = engine.stop()
        print("Stopped the embedded engine." if stopped else "The embedded engine did not run.")
        return 0
    print(engine.status())
    return 0


if __name__ == "__main__":
    sys.exit(run("engine", main))
