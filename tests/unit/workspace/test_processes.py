"""Programs that are started for an answer: bounded, and gone afterwards."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.workspace import processes
from scripts.workspace.paths import ROOT

# A shell whose child holds the pipes open, as git's does; it writes the child's process id.
PARENT = ["sh", "-c", 'sleep 600 & echo $! > "$0"; wait']


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ended(pid: int) -> None:
    """Return when a process is gone; fails when it stays, instead of waiting for ever."""
    deadline = time.monotonic() + 60
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_program_tells_its_exit_code_and_what_it_said() -> None:
    done = processes.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_a_program_that_asks_gets_no_answer_and_does_not_wait_for_one() -> None:
    assert processes.run(["cat"], timeout_s=30).stdout == ""


def test_what_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        processes.run([*PARENT, str(tmp_path / "pid")], timeout_s=0.5)
    ended(int((tmp_path / "pid").read_text()))


def test_the_end_of_the_program_ends_what_its_threads_wait_for(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = (
        "import pathlib, sys, threading, time\n"
        "from scripts.workspace import processes\n"
        "file = pathlib.Path(sys.argv[1])\n"
        f"run = lambda: processes.run([*{PARENT!r}, str(file)])\n"
        "threading.Thread(target=run, daemon=True).start()\n"
        "while not file.exists() or not file.read_text().strip(): time.sleep(0.01)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    ended(int(file.read_text()))
