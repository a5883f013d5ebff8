"""The embedded engine, in a workspace of its own: started, shared, killed, stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.lock import apt
from scripts.workspace.paths import ROOT
from tests.support.commands import Done, command

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or apt.available() is not None,
    reason="the embedded engine is for root on Debian or Ubuntu",
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a fresh workspace on a machine without a Docker engine of its own."""
    folder = tmp_path_factory.mktemp("workspace")
    environment = {"SDKILN_WORKSPACE": str(folder), "DOCKER_CONFIG": str(folder / "none")}
    environment["PATH"] = os.environ["PATH"]
    yield environment
    assert command("engine", "stop", environment=environment).returncode == 0


def engine(workspace: dict[str, str], action: str) -> Done:
    return command("engine", action, environment=workspace)


def pid(workspace: dict[str, str]) -> int:
    return int(Path(workspace["SDKILN_WORKSPACE"], "engine", "dockerd.pid").read_text())


def test_two_that_start_it_at_once_share_one_daemon(workspace: dict[str, str]) -> None:
    environment = {**os.environ, **workspace, "PYTHONPATH": str(ROOT)}
    starts = [
        subprocess.Popen(
            [sys.executable, "-m", "scripts.engine", "start"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in starts]
    assert [process.returncode for process in starts] == [0, 0], said
    assert all(f"The embedded engine runs: process {pid(workspace)}" in each for each in said)


def test_status_names_the_process_and_the_socket(workspace: dict[str, str]) -> None:
    done = engine(workspace, "status")
    assert f"process {pid(workspace)}, unix:///" in done.stdout


def test_a_daemon_that_was_killed_is_noticed_and_started_again(workspace: dict[str, str]) -> None:
    old = pid(workspace)
    os.kill(old, signal.SIGKILL)
    while Path(f"/proc/{old}/exe").exists():
        time.sleep(0.05)
    assert "stopped" in engine(workspace, "status").stdout
    done = engine(workspace, "start")
    assert done.returncode == 0, done.stderr
    assert pid(workspace) != old


def test_a_daemon_that_cannot_start_shows_the_end_of_its_log(workspace: dict[str, str]) -> None:
    assert engine(workspace, "stop").returncode == 0
    containerd = Path(workspace["SDKILN_WORKSPACE"], "engine", "bin", "containerd")
    target = containerd.readlink()
    containerd.unlink()
    try:
        done = engine(workspace, "start")
        assert done.returncode == 1
        assert "the embedded engine did not become ready" in done.stderr
        assert "containerd" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        containerd.symlink_to(target)


def test_stop_ends_it_and_says_so_only_once(workspace: dict[str, str]) -> None:
    assert engine(workspace, "start").returncode == 0
    process = pid(workspace)
    assert engine(workspace, "stop").stdout == "Stopped the embedded engine.\n"
    assert not Path(f"/proc/{process}/exe").exists()
    assert engine(workspace, "stop").stdout == "The embedded engine did not run.\n"
