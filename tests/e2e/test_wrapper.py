"""./nox on machines that lack something: one clear sentence, and nothing half-made left behind."""

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.workspace.paths import ROOT
from tests.support.commands import Done

UNREACHABLE = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that the wrapper needs, in a folder of their own."""
    folder = tmp_path / "a clone"
    (folder / "lockfiles").mkdir(parents=True)
    for name in ("nox", "noxfile.py", "lockfiles/tools.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def nox(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("SDKILN_")}
    return subprocess.run(
        [folder / "nox", *arguments],
        env={**inherited, **(environment or {})},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
    )


def refused(folder: Path, environment: Mapping[str, str]) -> str:
    done = nox(folder, "--list", environment=environment)
    assert done.returncode == 1
    assert not (folder / ".workspace" / "venv").exists()
    last = done.stderr.splitlines()[-1]
    assert last.startswith("nox: ")
    return last


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_first_call_makes_the_environment_and_the_next_uses_it(clone: Path) -> None:
    first = nox(clone)
    assert "making .workspace/venv from lockfiles/tools.txt" in first.stderr
    assert re.search(r"^- build -> Build a profile's image", first.stdout, re.MULTILINE)
    started = time.monotonic()
    second = nox(clone, "--version")
    assert second.returncode == 0
    assert "making" not in second.stderr
    # The bound is 0.5 s; a busy machine gets four times as long.
    assert time.monotonic() - started < 2

    lock = clone / "lockfiles" / "tools.txt"
    lock.write_text(lock.read_text() + "# changed\n")
    assert "making" in nox(clone, "--version").stderr


def test_no_python(clone: Path) -> None:
    said = refused(clone, {"SDKILN_PYTHON": "python-of-nowhere"})
    assert "there is no python-of-nowhere. Install Python 3.10 or newer" in said


def test_a_python_that_is_too_old(clone: Path, tmp_path: Path) -> None:
    old = script(tmp_path / "python3", '[ "$1" = -V ] && echo Python 3.9.1; exit 1')
    said = refused(clone, {"SDKILN_PYTHON": str(old)})
    assert "Python 3.9.1 is too old: 3.10 or newer is needed" in said


def test_a_python_without_venv(clone: Path, tmp_path: Path) -> None:
    bare = script(
        tmp_path / "python3", f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    )
    assert "apt-get install python3-venv" in refused(clone, {"SDKILN_PYTHON": str(bare)})


def test_no_network(clone: Path) -> None:
    assert "the package index could not be reached" in refused(clone, UNREACHABLE)


def test_a_hash_that_does_not_match(clone: Path) -> None:
    lock = clone / "lockfiles" / "tools.txt"
    lock.write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", lock.read_text()))
    assert "does not have the hash that lockfiles/tools.txt pins" in refused(clone, {})


def test_no_lock_of_the_tools(clone: Path) -> None:
    (clone / "lockfiles" / "tools.txt").unlink()
    said = refused(clone, {})
    assert "lockfiles/tools.txt is missing" in said
    assert "git checkout lockfiles/tools.txt" in said


def test_another_platform_gets_a_sentence(clone: Path, tmp_path: Path) -> None:
    script(tmp_path / "uname", '[ "$1" = -s ] && echo Darwin || echo arm64')
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert "sdkiln runs on Linux on x86-64; this machine is Darwin-arm64" in refused(
        clone, {"PATH": path}
    )
