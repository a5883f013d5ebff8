"""sdkiln's commands as a person starts them, in a process of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts.workspace.paths import ROOT

Done = subprocess.CompletedProcess[str]


def command(
    name: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 600,
    root: Path = ROOT,
) -> Done:
    """Run `python -m scripts.NAME` in the checkout `root`; return its exit code and output."""
    # Set by the session that runs the tests; a command started here stands alone.
    inherited = {key: value for key, value in os.environ.items() if key != "SDKILN_SESSIONS"}
    return subprocess.run(
        [sys.executable, "-m", f"scripts.{name}", *arguments],
        cwd=root,
        env={**inherited, "PYTHONPATH": str(root), "NO_COLOR": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def socket(status: str) -> str:
    """Return the address that `engine` names in what it printed of the embedded engine."""
    return next(word for word in status.split() if word.startswith("unix://"))
