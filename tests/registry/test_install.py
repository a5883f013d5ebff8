"""The committed locks install from the registry, by hash, and what they are there for imports."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.lock import install
from scripts.lock.install import Trial, attempt, installed
from scripts.lock.lockfile import locked
from scripts.workspace.errors import CheckFailed
from scripts.workspace.model import Target, load, targets
from scripts.workspace.paths import LOCKFILES, ROOT
from tests.support.commands import command

TARGETS = [each for each in targets(load()) if each.python in ("3.11", "")]


def left_over(target: str) -> list[Path]:
    return list(install.ENVIRONMENTS.glob(f"{target}.*"))


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: each.name)
def test_a_lock_installs_by_hash_and_all_that_is_imported_imports(target: Target) -> None:
    done = command("lock", "--install", target.name, timeout_s=3600)
    assert done.returncode == 0, done.stderr
    modules = load().environments[target.environment].imports
    assert f"\n{target.name}: {len(modules)} modules tried in " in done.stdout
    assert left_over(target.name) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=lambda each: str(each)
)
def test_a_stopped_installation_leaves_no_environment(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "scripts.lock", "--install", "worker-py3.11"],
        cwd=ROOT,
        env={**os.environ, "SDKILN_WORKSPACE": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if "held against one another" in line:  # the environment is there, and modules are imported
            assert len(list((tmp_path / "install").iterdir())) == 1
            break
    running.send_signal(number)
    _, said = running.communicate(timeout=120)
    assert running.returncode == code, said
    assert "Traceback" not in said
    assert list((tmp_path / "install").iterdir()) == []


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "scripts.lock", "--install", "build"],
            cwd=ROOT,
            env={**os.environ, "SDKILN_WORKSPACE": str(tmp_path)},
        )
        for _ in range(2)
    ]
    assert [each.wait(timeout=600) for each in both] == [0, 0]
    assert list((tmp_path / "install").iterdir()) == []


def test_what_builds_an_sdist_is_held_to_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))  # where nothing is built yet
    monkeypatch.setattr(install, "ENVIRONMENTS", tmp_path / "install")
    (sdist,) = [pin for pin in locked("webui-cu121-py3.11") if pin.name == "jsonmerge"]
    assert sdist.file is not None
    assert sdist.file.name.endswith(".tar.gz")
    lock = tmp_path / "app.txt"
    lock.write_text(sdist.text)
    right = LOCKFILES / "build.txt"
    wrong = tmp_path / "build.txt"
    (setuptools,) = [pin for pin in locked("build") if pin.name == "setuptools"]
    text = right.read_text()
    for digest in setuptools.hashes:
        other = "sha256:" + hashlib.sha256(digest.encode()).hexdigest()
        assert digest in text
        text = text.replace(digest, other)
    wrong.write_text(text)

    with pytest.raises(CheckFailed, match="app cannot be installed") as failure:
        attempt(Trial("app", (lock,), sys.executable, ("jsonmerge",), wrong), print)
    assert "Hash mismatch for `setuptools" in failure.value.message
    with installed(Trial("app", (lock,), sys.executable, ("jsonmerge",), right), print) as python:
        assert list(python.parents[1].glob("lib/*/site-packages/jsonmerge"))
