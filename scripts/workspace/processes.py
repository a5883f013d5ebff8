"""Programs that are started for an answer: bounded in time, and none outlives this one."""

import atexit
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_running: "set[subprocess.Popen[str]]" = set()


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a program that is asked nothing; return its exit code and what it said.

    Raises FileNotFoundError when there is no such program, and subprocess.TimeoutExpired when it
    takes longer than `timeout_s`: it is ended then, with everything that it started.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # A group of its own: git and apt leave the network to children, which must end with them.
        start_new_session=True,
    )
    _running.add(process)
    try:
        output, said = process.communicate(timeout=timeout_s)
    except BaseException:
        _end(process)
        raise
    finally:
        _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, output, said)


def _end(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@atexit.register
def _end_all() -> None:
    # Look-ups run in threads that Ctrl-C leaves in the middle of waiting for these.
    for process in list(_running):
        _end(process)
