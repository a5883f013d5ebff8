"""The supervisor's promises, held by real processes: the web UI and the SDK are fakes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.workspace.paths import ROOT
from tests.unit.worker import fake_webui
from tests.unit.worker.test_launch_file import LAUNCH
from tests.unit.worker.test_webui_client import free_port

SUPERVISOR = ROOT / "docker" / "worker" / "supervisor.py"

# The FAKE of RunPod's SDK runs one job. "once": it ends as the real one does after --test_input.
# "stays": it goes on, deaf to SIGTERM, as the real one does while it waits for the next job.
FAKE_SDK = """
import asyncio, os, signal, sys, time

class serverless:
    def start(config):
        stays = os.environ["FAKE_SDK"] == "stays"
        if stays:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("fake SDK serves", flush=True)
        output = asyncio.run(config["handler"]({"id": "a-job", "input": {"prompt": "a fox"}}))
        if stays:
            time.sleep(60)
        sys.exit(1 if "error" in output else 0)
"""

# Orphans come to PID 1; elsewhere to the nearest process that asks for them (prctl(2), 36).
AS_SUBREAPER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Container:
    """A supervisor with a fake web UI, and what it has said so far."""

    def __init__(self, folder: Path, *webui: str, sdk: str = "", **launch: Any) -> None:
        """Start it; `webui` are arguments of fake_webui, `launch` fields of launch.json."""
        self.log = folder / "log"
        port = free_port()
        options = {
            **LAUNCH,
            "python": sys.executable,
            "cwd": str(folder),
            "argv": [fake_webui.__file__, "--port", str(port), *webui],
            "preload": [],
            "url": f"http://127.0.0.1:{port}",
            "ready_timeout_s": 20,
            "stop_timeout_s": 5,
            **launch,
        }
        (folder / "launch.json").write_text(json.dumps(options))
        (folder / "runpod.py").write_text(FAKE_SDK)
        env = {**os.environ, "PYTHONPATH": str(folder), "SDKILN_LAUNCH": f"{folder}/launch.json"}
        mode = {"RUNPOD_REALTIME_PORT": "1", "FAKE_SDK": sdk} if sdk else {"SDKILN_WEBUI_ONLY": "1"}
        command = [sys.executable, "-c", AS_SUBREAPER, sys.executable, str(SUPERVISOR)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=env | mode, stdout=log, stderr=log)

    def said(self, pattern: str, within_s: float = 10.0) -> re.Match[str]:
        """Wait until a line of the log matches, and return the match."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if match := re.search(pattern, self.log.read_text(), re.MULTILINE):
                return match
            time.sleep(0.01)
        raise AssertionError(f"{pattern!r} is not in the log:\n{self.log.read_text()}")

    def pid(self, name: str) -> int:
        """Return the process id of the child `name`, once it is started."""
        return int(self.said(rf"^sdkiln: {name} started as process (\d+) ")[1])

    def ends(self, within_s: float) -> int:
        """Return the exit code; fail if there is none in time."""
        return self.process.wait(within_s)


Start = Callable[..., Container]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a container; whatever is left of it at the end is killed."""
    started: list[Container] = []

    def run(*webui: str, **launch: Any) -> Container:
        started.append(Container(tmp_path, *webui, **launch))
        return started[-1]

    yield run
    for container in started:
        for match in re.finditer(r"started as process (\d+)", container.log.read_text()):
            if alive(int(match[1])):
                os.killpg(int(match[1]), signal.SIGKILL)
        container.process.kill()
        container.process.wait()


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    return state(pid) not in ("", "Z")


def state(pid: int) -> str:
    """Return the letter of a process's state, empty if there is no such process (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_term_ends_everything_that_was_started(start: Start, tmp_path: Path) -> None:
    """After SIGTERM nothing is left, not even a grandchild that ignores it; orphans are reaped."""
    container = start("--errors", "1", "--orphan", "--grandchild", str(tmp_path / "pid"))
    container.said(r"^sdkiln: web UI ready after \d+\.\d s$")
    children = Path(f"/proc/{container.process.pid}/task/{container.process.pid}/children")
    assert set(map(int, children.read_text().split())) == {
        container.pid("web UI"),
        container.pid("worker"),
    }
    grandchild = int((tmp_path / "pid").read_text())
    assert alive(grandchild)
    container.process.terminate()
    assert container.ends(3) == 128 + signal.SIGTERM
    assert not any(map(alive, [grandchild, container.pid("web UI"), container.pid("worker")]))


def test_a_stubborn_web_ui_is_killed(start: Start) -> None:
    """SIGINT ends the container too, and no later than stop_timeout_s says."""
    container = start("--stubborn", stop_timeout_s=0.3)
    container.said("^sdkiln: web UI ready")
    began = time.monotonic()
    container.process.send_signal(signal.SIGINT)
    assert container.ends(3) == 128 + signal.SIGINT
    assert time.monotonic() - began >= 0.3
    container.said("^sdkiln: web UI did not end on SIGTERM and is killed")
    assert not alive(container.pid("web UI"))


def test_a_web_ui_that_dies_while_starting_is_noticed_at_once(start: Start) -> None:
    """Not after the ready timeout: that is the endless loop which burns money."""
    container = start("--start-s", "60")
    worker = container.pid("worker")
    os.kill(container.pid("web UI"), signal.SIGKILL)
    assert container.ends(2) == 70
    container.said(r"^sdkiln: web UI ended by signal 9 \(Killed\)")
    container.said("^sdkiln: ending with exit code 70 .*memory may have run out$")
    assert not alive(worker)


def test_a_web_ui_that_dies_idle_takes_the_worker_along(start: Start) -> None:
    """A dead web UI behind a living handler fails every job that follows."""
    container = start()
    container.said("^sdkiln: web UI ready")
    os.kill(container.pid("web UI"), signal.SIGTERM)
    assert container.ends(2) == 70
    assert not alive(container.pid("worker"))


def test_a_web_ui_that_dies_during_a_job_takes_the_worker_along(start: Start) -> None:
    """The job in hand fails, and the worker gets no time to wait for another."""
    container = start("--images", "1", sdk="stays")
    container.said("^fake SDK serves")
    time.sleep(0.1)
    os.kill(container.pid("web UI"), signal.SIGKILL)
    assert container.ends(2) == 70
    container.said("^sdkiln: job a-job failed after .*: the web UI cannot be reached")
    assert not alive(container.pid("worker"))


def test_a_web_ui_that_never_gets_ready_ends_the_container(start: Start) -> None:
    """The wait is bounded, the code says why, and the web UI does not stay."""
    container = start("--images", "0", ready_timeout_s=0.3)
    assert container.ends(10) == 71
    container.said("^sdkiln: web UI never became ready after .*: no image within 0.3 s: ReadTim")
    assert not alive(container.pid("web UI"))


@pytest.mark.parametrize(("images", "code"), [("2", 0), ("1", 1)])
def test_the_end_of_the_worker_is_the_container_s(start: Start, images: str, code: int) -> None:
    """A job by --test_input: its success or failure is the exit code."""
    container = start("--images", images, sdk="once", job_timeout_s=0.2)
    assert container.ends(10) == code
    container.said(f"^sdkiln: worker ended with exit code {code}")
    assert not alive(container.pid("web UI"))


def test_a_web_ui_that_cannot_be_started_is_named(start: Start) -> None:
    """An image without its interpreter."""
    container = start(python="/nowhere/python")
    assert container.ends(5) == 70
    container.said("^sdkiln: web UI cannot be started .*/nowhere/python; rebuild the image$")


def test_preload_is_for_the_web_ui_alone_and_is_proven(start: Start) -> None:
    """The log says what was really mapped: the dynamic linker goes on without a library."""
    # libanl: a part of glibc that Python does not use by itself.
    container = start(preload=["libanl.so.1", "libnowhere.so.7"], env={"SEEN": "by web UI"})
    worker = container.pid("worker")
    container.said("^sdkiln: libanl.so.1 preloaded into the web UI")
    container.said("^sdkiln: libnowhere.so.7 is not preloaded into the web UI")
    webui = Path(f"/proc/{container.pid('web UI')}")
    assert "/libanl.so.1" in (webui / "maps").read_text()
    assert b"SEEN=by web UI" in (webui / "environ").read_bytes().split(b"\0")
    assert b"LD_PRELOAD" not in Path(f"/proc/{worker}/environ").read_bytes()
