"""Locks of the webui environment: how they are named, told apart and installed."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.ab import locks
from scripts.bench.ab.ask import Side
from scripts.lock.install import Trial
from scripts.lock.lockfile import Lockfile
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import load
from scripts.workspace.paths import LOCKFILES
from tests.support.repositories import commit, git

PROFILE = load().profile("sandbox")
NAME = locks.lock_of(PROFILE)
VERSIONS = st.dictionaries(
    st.sampled_from(["numpy", "torchvision", "xformers", "nvidia-cublas-cu12"]),
    st.sampled_from(["1.0", "1.0.post1", "2.1.2+cu121"]),
)


def text(python: str = "3.11", **pins: str) -> str:
    lines = "".join(
        f"{name}=={version} \\\n    --hash=sha256:{'0' * 64}\n" for name, version in pins.items()
    )
    inputs = {"python": python} if python else {}
    return Lockfile(Path("lock"), inputs, lines).text()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose first commit locks torch 1 and whose second locks torch 2."""
    monkeypatch.setattr(locks, "ROOT", tmp_path)
    (tmp_path / "lockfiles").mkdir()
    git(tmp_path, "init", "--quiet")
    for version in ("1", "2"):
        (tmp_path / NAME).write_text(text(torch=version))
        (tmp_path / NAME.replace("webui-", "probe-")).write_text(text(diffusers=version))
        git(tmp_path, "add", "--all")
        commit(tmp_path, version)
    return tmp_path


def test_a_commit_has_the_lock_of_the_profile_and_the_probes_beside_it(repository: Path) -> None:
    found = locks.side("HEAD~1", PROFILE)
    assert found.name == f"HEAD~1:{NAME}"
    assert locks.versions(found) == {"torch": "1", "diffusers": "1"}


def test_a_path_in_a_commit_is_read_from_there(repository: Path) -> None:
    (repository / NAME).write_text("not what was committed")
    assert locks.versions(locks.side(f"HEAD:{NAME}", PROFILE))["torch"] == "2"


def test_a_file_is_read_with_the_probes_lock_beside_it(repository: Path) -> None:
    found = locks.side(str(repository / NAME), PROFILE)
    assert locks.versions(found) == {"torch": "2", "diffusers": "2"}


def test_a_file_of_another_name_has_no_probes_lock(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text(torch="2.1.2"))
    assert locks.side(str(path), PROFILE).probe == ""


def test_the_committed_locks_are_locks_of_the_webui_environment() -> None:
    found = locks.side(str(LOCKFILES / "webui-cu121-py3.11.txt"), PROFILE)
    assert locks.python_of(found) == "3.11"
    assert {"torch", "xformers", "diffusers"} <= locks.versions(found).keys()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("HEAD~9", "git knows no commit 'HEAD~9'"),
        ("no-such-branch", "git knows no commit 'no-such-branch'"),
        ("HEAD:lockfiles/none.txt", "commit HEAD has no file 'lockfiles/none.txt'"),
        ("nobody:lockfiles/none.txt", "git knows no commit 'nobody'"),
        ("lockfiles/none.txt", "there is no lockfile lockfiles/none.txt"),
        ("--help", "git knows no commit '--help'"),
        ("", "git knows no commit ''"),
    ],
)
def test_what_names_no_lock_is_refused_with_what_is_wrong(
    repository: Path, named: str, said: str
) -> None:
    with pytest.raises(BadInput) as refused:
        locks.side(named, PROFILE)
    assert said in refused.value.message
    assert "LOCK is a file, COMMIT:PATH or COMMIT" in refused.value.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (text(torch="1").replace("torch==1", "torch==2"), "was edited or cut off"),
        ("torch==1\n", "was edited or cut off"),
        (text(runpod="1"), "has no torch"),
        (text(python="", torch="1"), "does not say for which Python it is"),
    ],
)
def test_a_file_that_is_no_webui_lock_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "webui.txt"
    path.write_text(content)
    with pytest.raises(BadInput, match=said):
        locks.side(str(path), PROFILE)


@given(VERSIONS, VERSIONS)
def test_differences_name_every_package_that_moved_and_no_other(
    old: Mapping[str, str], new: Mapping[str, str]
) -> None:
    before, after = (Side("a", text(torch="2.1.2", **pins)) for pins in (old, new))
    told = {
        line.partition(" ")[0]: line.partition(" ")[2] for line in locks.differing(before, after)
    }
    assert told == {
        name: f"{old.get(name, 'none')} -> {new.get(name, 'none')}"
        for name in old.keys() | new.keys()
        if old.get(name) != new.get(name)
    }


def test_another_python_is_a_difference() -> None:
    before, after = Side("a", text(torch="1")), Side("b", text(python="3.10", torch="1"))
    assert list(locks.differing(before, after)) == ["Python 3.11 -> 3.10"]


@pytest.fixture
def fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """Stands for uv: an environment is a Python that runs, made slowly; what was made is listed."""
    made: list[Trial] = []

    def fill(trial: Trial, environment: Path) -> None:
        made.append(trial)
        python = environment / "bin" / "python"
        python.parent.mkdir(parents=True)
        threading.Event().wait(0.2)
        python.write_text("#!/bin/sh\n")
        python.chmod(0o755)

    monkeypatch.setattr(locks, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(locks, "fill", fill)
    return made


LOCK = Side("a", text(torch="1"))


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != "lock"}


def test_a_lock_is_installed_once_and_by_what_it_holds(fills: list[Trial], tmp_path: Path) -> None:
    first = locks.installed(LOCK)
    assert locks.installed(Side("the same elsewhere", LOCK.text)) == first
    assert locks.installed(Side("with a probe", LOCK.text, text(diffusers="1"))) != first
    assert [[path.name for path in trial.locks] for trial in fills] == [
        ["webui.txt"],
        ["webui.txt", "probe.txt"],
    ]
    assert len(left(tmp_path / "locks")) == 2


def test_two_at_once_install_it_once(fills: list[Trial]) -> None:
    threads = [threading.Thread(target=locks.installed, args=(LOCK,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fills) == 1


def test_an_installation_that_was_stopped_leaves_nothing(
    fills: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: Trial, environment: Path) -> None:
        environment.mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(locks, "fill", stopped)
        with pytest.raises(KeyboardInterrupt):
            locks.installed(LOCK)
    assert left(tmp_path / "locks") == set()


def test_what_a_kill_left_is_removed_and_never_taken_for_whole(
    fills: list[Trial], tmp_path: Path
) -> None:
    half = tmp_path / "locks" / ".half"
    (half / "environment").mkdir(parents=True)
    python = locks.installed(LOCK)
    assert not half.exists()
    python.unlink()  # as where its base Python was removed from the machine
    assert locks.installed(LOCK) == python
    assert len(fills) == 2


def test_a_lock_for_a_python_that_is_not_here_is_a_failure_with_a_hint(fills: list[Trial]) -> None:
    with pytest.raises(Failure, match=r"for Python 3\.99, which is not on this") as failure:
        locks.installed(Side("a", text(python="3.99", torch="1")))
    assert "python install 3.99" in failure.value.hint
    assert fills == []
