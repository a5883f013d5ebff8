"""`./nox -s lint`: one tool after the other, until one says no."""

import argparse
import sys

from scripts.workspace.cli import run
from scripts.workspace.tools import run_all

INSTALL = "docker/tools/install"
TOOLS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    (
        "shellcheck",
        "nox",
        ".ci/run",
        *(f"{INSTALL}/{name}" for name in ("install-packages", "seal")),
    ),
    ("hadolint", "docker/Dockerfile", "docker/sandbox/Dockerfile"),
)


def main(_: argparse.Namespace) -> int:
    """Run the tools."""
    return run_all(TOOLS)


if __name__ == "__main__":
    sys.exit(run("lint", main))
