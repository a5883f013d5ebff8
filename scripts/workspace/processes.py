"""Programs that are started for an answer: side by side, and none outlives this one."""

import atexit
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from scripts.workspace.paths import ROOT

Done = subprocess.CompletedProcess[str]
Process = subprocess.Popen[str]

_running: set[Process] = set()


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> Done:
    """Run a program that is asked nothing; return its exit code and what it said.

    Raises FileNotFoundError when there is no such program, and subprocess.TimeoutExpired when it
    takes longer than `timeout_s`: it is ended then, with everything that it started.
    """
    return _finish(_start(command, folder, environment), timeout_s)


def running(pid: int) -> bool:
    """Return whether there is a process of this id, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove_left(folder: Path, prefix: str = "") -> None:
    """Remove the folders that processes which are gone left in `folder`.

    Their names are `prefix`, the id of the process, a dash and anything; one that begins with
    `prefix` and names no process is nobody's.
    """
    for left in folder.glob(f"{prefix}*"):
        pid, dash, _ = left.name.removeprefix(prefix).partition("-")
        if not (dash and pid.isdecimal() and running(int(pid))):
            shutil.rmtree(left, ignore_errors=True)


class Processes:
    """Runs programs from the root of the workspace, at most `places` at a time.

    As a context manager it ends what still runs when the block is left, however that happens.
    """

    def __init__(self, places: int) -> None:
        """Start with none."""
        self._places = threading.Semaphore(places)
        self._own: set[Process] = set()
        self._stopped = False

    def __enter__(self) -> "Processes":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what still runs; what waits for a place ends at once."""
        self._stopped = True
        for process in list(self._own):
            _kill(process)

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Done:
        """Return what the program printed and its exit code, which is -9 once all was stopped."""
        with self._places:
            if self._stopped:
                return Done(command, -9, "", "stopped")
            process = _start(command, ROOT, environment)
            self._own.add(process)
            try:
                return _finish(process, None)
            finally:
                self._own.discard(process)


def _start(
    command: Sequence[str], folder: Path | None, environment: Mapping[str, str] | None
) -> Process:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # A group of its own: git, apt and pip have children, which must end with them.
        start_new_session=True,
    )
    _running.add(process)
    return process


def _finish(process: Process, timeout_s: float | None) -> Done:
    try:
        output, said = process.communicate(timeout=timeout_s)
    except BaseException:
        _kill(process)
        process.wait()
        raise
    finally:
        _running.discard(process)
    return Done(process.args, process.returncode, output, said)


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@atexit.register
def _kill_all() -> None:
    # Look-ups run in threads that Ctrl-C leaves in the middle of waiting for these.
    for process in list(_running):
        _kill(process)
