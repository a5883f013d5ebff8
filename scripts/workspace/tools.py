"""Programs that judge the source: linters and type checkers."""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from scripts.workspace.errors import CheckFailed
from scripts.workspace.paths import ROOT


def run_all(tools: Iterable[Sequence[str]]) -> int:
    """Run each of the programs, from this Python's environment; return 0.

    Raises CheckFailed at the first that says no.
    """
    for program, *arguments in tools:
        print(f"{program} {' '.join(arguments)}", flush=True)
        done = subprocess.run([Path(sys.executable).with_name(program), *arguments], cwd=ROOT)
        if done.returncode:
            raise CheckFailed(f"{program} says no; its reasons stand above.")
    return 0
