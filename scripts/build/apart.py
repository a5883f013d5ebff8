"""A workspace beside the user's own: builds in it share neither engine nor cache nor downloads."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.build.engine import EMBEDDED, unavailable
from scripts.workspace.errors import Failure
from scripts.workspace.files import exclusive
from scripts.workspace.paths import ROOT, WORKSPACE, shown

# How long a build may take to end after Ctrl-C: it waits 30 s for buildx.
ENDING_S = 45


@contextmanager
def apart(name: str, purpose: str) -> Iterator[Path]:
    """Give an empty workspace of this name; remove it with its engine, however the block is left.

    A second process that wants the same one waits, and is told the `purpose`. Raises Failure where
    the embedded engine does not run: the machine's own would share its cache.
    """
    if reason := unavailable():
        raise Failure(
            f"{purpose} needs the embedded engine, also where the machine has one of its own, and "
            f"that {reason}.",
            hint="Run it as root on Debian or Ubuntu, where sdkiln brings that engine.",
        )
    folder = WORKSPACE / name
    with exclusive(WORKSPACE / f"{name}.lock", purpose):
        _remove(folder)
        try:
            yield folder
        finally:
            _remove(folder)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment in which commands use the workspace `folder` and its own engine."""
    ours = {key: value for key, value in os.environ.items() if key != "SDKILN_SESSIONS"}
    return {**ours, "SDKILN_WORKSPACE": str(folder), EMBEDDED: "1"}


def run(folder: Path, module: str, *arguments: str) -> None:
    """Run a module of ours there; raises Failure when it does not end well, which it has said."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment(folder)
    )
    try:
        code = process.wait()
    except KeyboardInterrupt:
        # The terminal told it, too, and Popen gives it a quarter of a second. It needs more to end
        # what it began, and a SIGTERM would break into that.
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_S)
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code:
        raise Failure(f"{module} failed in {shown(folder)}; its reason stands above.")


def _remove(folder: Path) -> None:
    if folder.exists():
        run(folder, "scripts.engine", "stop")
        shutil.rmtree(folder)
