"""The README's commands in a fresh clone, as a newcomer types them."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from scripts.workspace.paths import WORKSPACE
from tests.support.clones import fresh_clone
from tests.support.commands import Done


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with its own tools, sharing engine and downloads with the tests."""
    return fresh_clone(tmp_path_factory.mktemp("clone") / "sdkiln")


def nox(clone: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    ours = {"SDKILN_WORKSPACE": str(WORKSPACE), "NO_COLOR": "1"}
    return subprocess.run(
        [clone / "nox", *arguments],
        cwd=clone,
        env={**os.environ, **ours, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
    )


def test_the_main_job_locks_builds_and_measures(clone: Path, image: BuildRecord) -> None:
    done = nox(clone, "-s", "lock", "build", "bench", "--", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lockfiles follow from the inputs" in done.stdout
    assert image.digest[:19] in done.stdout
    assert "xformers unavailable" in done.stdout
    newest = max((WORKSPACE / "bench").glob("*.json"), key=lambda path: path.stat().st_mtime)
    result = json.loads(newest.read_text())
    assert result["image_digest"] == image.digest
    status = {case["id"]: case["status"] for case in result["cases"]}
    assert all(value == "ok" for name, value in status.items() if "xformers" not in name)
    assert len([name for name in status if name.startswith("attn/")]) > 8
    assert [name for name in status if name.startswith("image/")]
    timed = [case for case in result["cases"] if case["status"] == "ok"]
    # On a busy machine there is time for few rounds, and then a case says so.
    assert all(case["samples_ns"] for case in timed)
    assert all(len(case["samples_ns"]) >= 6 or case["reason"] for case in timed)


def test_a_lock_that_is_computed_anew_is_the_same_to_the_byte(clone: Path) -> None:
    """In another time zone, and with some locks gone and one damaged.

    Twice anew: what the registry showed on the day of the committed locks may have been less.
    """
    before = {path: path.read_bytes() for path in (clone / "lockfiles").iterdir()}
    found = []
    for zone in ("UTC", "Asia/Tokyo"):
        for name in ("webui-cu121-py3.11.txt", "worker-py3.10.txt", "sandbox-cu121-py3.11.txt"):
            (clone / "lockfiles" / name).unlink()
        (clone / "lockfiles" / "debian.toml").write_text("damaged")
        done = nox(clone, "-s", "lock", environment={"TZ": zone})
        assert done.returncode == 0, done.stderr
        assert "Wrote 4 files" in done.stdout
        found.append({path.name: path.read_bytes() for path in (clone / "lockfiles").iterdir()})
    assert found[0] == found[1]
    for path, content in before.items():
        path.write_bytes(content)


def test_ctrl_c_leaves_no_container_and_no_process(clone: Path, engine: Engine) -> None:
    """Through ./nox, as a person presses it: the whole group of processes gets the signal."""
    process = subprocess.Popen(
        [clone / "nox", "-s", "bench", "--", "--suite=attn", "--quick"],
        cwd=clone,
        env={**os.environ, "SDKILN_WORKSPACE": str(WORKSPACE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    client = engine.client()
    deadline = time.monotonic() + 120
    while not client.containers.list(filters={"label": "sdkiln=bench"}):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    assert not client.containers.list(all=True, filters={"label": "sdkiln=bench"})


def test_a_check_that_says_no_names_the_input_and_ends_with_3(clone: Path) -> None:
    requirements = clone / "requirements" / "worker.in"
    text = requirements.read_text()
    requirements.write_text(text + "# changed\n")
    try:
        done = nox(clone, "-s", "lock", "--", "--check")
    finally:
        requirements.write_text(text)
    assert done.returncode == 3
    assert "lockfiles/worker-py3.11.txt: requirements/worker.in changed." in done.stderr
    assert "webui" not in done.stderr
    assert nox(clone, "-s", "lock", "--", "--check").returncode == 0


def test_a_conflict_shows_the_reason_and_the_line_and_writes_nothing(clone: Path) -> None:
    stack = clone / "requirements" / "stack-cu121.in"
    text = stack.read_text()
    before = {path.name: path.read_bytes() for path in (clone / "lockfiles").iterdir()}
    stack.write_text(text.replace("torchvision==0.16.2", "torchvision==0.17.0"))
    try:
        done = nox(clone, "-s", "lock")
    finally:
        stack.write_text(text)
    assert done.returncode == 2
    assert "No solution found" in done.stderr
    assert "torchvision==0.17.0 depends on torch==2.2.0" in " ".join(done.stderr.split())
    assert "requirements/stack-cu121.in:" in done.stderr
    assert {path.name: path.read_bytes() for path in (clone / "lockfiles").iterdir()} == before


def test_a_typo_is_answered_with_the_nearest_and_code_2(clone: Path) -> None:
    done = nox(clone, "-s", "lock", "build", "--", "--profil=runpod")
    assert done.returncode == 2
    assert "no chosen command knows --profil=runpod. Did you mean --profile?" in done.stderr


@pytest.mark.parametrize(
    "session",
    ["lock", "models", "engine", "build", "serve", "bench", "report", "tests", "lint", "types"],
)
def test_every_session_answers_help(clone: Path, session: str) -> None:
    done = nox(clone, "-s", session, "--", "--help")
    assert done.returncode == 0
    assert f"usage: nox -s {session} --" in done.stdout


def test_bench_on_an_image_that_is_not_built_says_so(clone: Path) -> None:
    done = nox(clone, "-s", "bench", "--", "--profile=runpod")
    assert done.returncode == 2
    assert "./nox -s build -- --profile runpod" in done.stderr


def test_the_runpod_profile_says_what_it_cannot_reach(clone: Path) -> None:
    """Where Hugging Face and GitHub answer, this would fetch 2 GB: their names are turned off."""
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "GIT_CONFIG_COUNT": "1"}
    environment |= {
        "GIT_CONFIG_KEY_0": "url.http://127.0.0.1:9/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }
    done = nox(clone, "-s", "build", "--", "--profile=runpod", environment=environment)
    assert done.returncode == 1
    assert "could not be fetched from XpucT/Deliberate" in done.stderr
    assert "--context model=PATH" in done.stderr
    assert "Traceback" not in done.stderr
