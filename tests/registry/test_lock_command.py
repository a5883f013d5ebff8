"""`./nox -s lock` against the machine's own registry, in a clone whose inputs a test may change."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import tomli
from packaging.requirements import Requirement

from scripts.lock.lockfile import Lockfile, pins, read
from scripts.workspace.model import load, targets
from scripts.workspace.paths import ROOT, WORKSPACE
from tests.support.clones import fresh_clone
from tests.support.commands import Done, command

# pip-tools is installed once for all tests.
SHARED = {"SDKILN_WORKSPACE": str(WORKSPACE)}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return fresh_clone(tmp_path / "sdkiln")


def lock(clone: Path, *arguments: str, **environment: str) -> Done:
    ours = {"SDKILN_WORKSPACE": str(clone / ".workspace")}
    return command("lock", *arguments, root=clone, environment=ours | environment)


def state(clone: Path) -> dict[str, bytes]:
    files = [clone / "workspace.toml", *(clone / "lockfiles").iterdir()]
    return {path.name: path.read_bytes() for path in files}


def made_anew(clone: Path, **environment: str) -> dict[str, bytes]:
    """Lock from nothing, as the registry is today.

    That may differ from the committed locks: a mirror can show a release days or weeks after it
    was uploaded, and authors yank.
    """
    for path in (clone / "lockfiles").glob("*.txt"):
        path.unlink()
    done = lock(clone, **environment)
    assert done.returncode == 0, done.stderr
    return state(clone)


def test_locks_made_from_nothing_twice_are_the_same_to_the_byte(
    clone: Path, tmp_path: Path
) -> None:
    """Two caches, so that answers come in another order, and two folders."""
    other = fresh_clone(tmp_path / "another folder")
    first = made_anew(clone, UV_CACHE_DIR=str(tmp_path / "first"))
    assert (
        made_anew(other, UV_CACHE_DIR=str(tmp_path / "second"), UV_CONCURRENT_DOWNLOADS="3")
        == first
    )
    assert set(first) == set(state(ROOT))


def test_a_dry_run_shows_table_and_diff_and_writes_nothing(clone: Path) -> None:
    before = state(clone)
    (clone / "requirements" / "worker.in").write_text("httpx\n")
    day = load().lock.as_of - timedelta(days=20)
    done = lock(clone, "--as-of", str(day), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "--- a/lockfiles/webui-cu121-py3.10.txt" in done.stdout
    assert f"+# input: as_of = {day}" in done.stdout
    assert f"+as_of = {day}" in done.stdout
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("runpod ")]
    assert row.split()[2:4] == ["->", "-"]
    assert "nothing was written" in done.stdout
    assert state(clone) == before


def test_one_package_moves_ahead_and_back_with_the_others(clone: Path) -> None:
    before = made_anew(clone)
    day = load().lock.as_of
    done = lock(clone, "--as-of", str(day - timedelta(days=30)), "--upgrade", "runpod")
    assert done.returncode == 2  # it is further already
    worker = pins(read(clone / "lockfiles" / "worker-py3.11.txt").body)
    uploaded = {pin.name: pin.file.uploaded for pin in worker if pin.file}
    youngest = max(uploaded, key=lambda name: (uploaded[name], name))
    oldest = min(uploaded, key=lambda name: (uploaded[name], name))
    earlier = uploaded[youngest] - timedelta(days=1)
    assert lock(clone, "--as-of", str(earlier)).returncode == 0
    between = state(clone)
    done = lock(clone, "--as-of", str(day), "--upgrade", oldest)
    assert f"Nothing newer of {oldest} fits up to {day}." in done.stdout, done.stderr
    assert state(clone) == between
    done = lock(clone, "--as-of", str(day), "--upgrade", youngest, oldest)
    assert done.returncode == 0, done.stderr
    assert f"Nothing newer of {oldest} fits up to {day}." in done.stdout
    settings = tomli.loads((clone / "workspace.toml").read_text())["lock"]
    assert settings["as_of"] == earlier
    assert settings["ahead"] == {youngest: day}
    assert lock(clone, "--check").returncode == 0
    assert lock(clone, "--as-of", str(day)).returncode == 0
    assert state(clone) == before


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("worker.in", "httpx==", "worker.in:"),
        ("webui.in", "fastapi==0.95.0", "fastapi==0.95.0"),
        ("worker.in", "sdkiln-has-no-such-package", "sdkiln-has-no-such-package"),
    ],
)
def test_bad_input_ends_with_2_names_the_line_and_leaves_the_locks(
    clone: Path, file: str, line: str, said: str
) -> None:
    before = state(clone)
    with (clone / "requirements" / file).open("a") as requirements:
        requirements.write(f"{line}\n")
    done = lock(clone)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert f"requirements/{file}:" in done.stderr
    assert "Traceback" not in done.stderr
    assert state(clone) == before


def test_a_cutoff_whose_day_is_not_over_is_bad_input_once_something_is_to_be_locked(
    clone: Path,
) -> None:
    toml = clone / "workspace.toml"
    toml.write_text(toml.read_text().replace(f"as_of = {load().lock.as_of}", "as_of = 9999-01-01"))
    done = lock(clone)
    assert done.returncode == 2, done.stderr
    assert "lock.as_of is 9999-01-01" in done.stderr


def test_a_cutoff_before_the_first_release_is_bad_input(clone: Path) -> None:
    before = state(clone)
    done = lock(clone, "--as-of", "2012-01-01")
    assert done.returncode == 2, done.stderr
    assert "requirements/" in done.stderr
    assert state(clone) == before


def test_a_registry_out_of_reach_is_a_failure_and_leaves_the_locks(clone: Path) -> None:
    before = state(clone)
    (clone / "lockfiles" / "worker-py3.11.txt").unlink()
    ours = {
        "SDKILN_WORKSPACE": str(clone / ".workspace"),
        "UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple",
        "UV_HTTP_RETRIES": "0",
    }
    done = command("lock", root=clone, environment=ours)
    assert done.returncode == 1, done.stderr
    assert "could not be reached" in done.stderr
    assert "Nothing was written" in done.stderr
    assert state(clone) == {
        name: content for name, content in before.items() if name != "worker-py3.11.txt"
    }


def test_two_locks_at_once_the_second_waits_and_finds_all_done(clone: Path) -> None:
    (clone / "lockfiles" / "webui-cu121-py3.11.txt").unlink()
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "scripts.lock"],
            cwd=clone,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted("nothing to do" in each for each in said) == [False, True], said


def test_what_builds_sdists_is_an_input_of_every_lock_that_may_hold_one(clone: Path) -> None:
    before = state(clone)
    (clone / "requirements" / "build.in").write_text("wheel\n")
    assert lock(clone, "--check").returncode == 3
    done = lock(clone)
    assert done.returncode == 2
    assert "lockfiles/build.txt does not hold setuptools" in done.stderr
    assert state(clone) == before


def test_a_lockfile_that_nobody_asks_for_goes_and_a_file_that_is_none_stays(clone: Path) -> None:
    surplus, notes = clone / "lockfiles" / "old.txt", clone / "lockfiles" / "notes.txt"
    surplus.write_text((clone / "lockfiles" / "build.txt").read_text())
    notes.write_text("mine\n")
    assert "old.txt: no target asks for it" in lock(clone, "--check").stderr
    assert "Would write 1 file" in lock(clone, "--dry-run").stdout
    assert surplus.exists()
    assert "Wrote 1 file" in lock(clone).stdout
    assert not surplus.exists()
    assert notes.read_text() == "mine\n"


@pytest.mark.parametrize(
    "arguments",
    [["--as-of", ""], ["--why", ""], ["--install", ""], ["--check", "--upgrade"]],
)
def test_an_empty_or_mixed_question_is_bad_input(clone: Path, arguments: list[str]) -> None:
    before = state(clone)
    assert lock(clone, *arguments).returncode == 2
    assert state(clone) == before


def test_a_check_warns_of_hosts_that_the_stack_does_not_run_on(clone: Path) -> None:
    hub = clone / ".runpod" / "hub.json"
    listing = json.loads(hub.read_text())
    listing["config"]["allowedCudaVersions"] = ["11.8"]
    hub.write_text(json.dumps(listing))
    done = lock(clone, "--check")
    assert done.returncode == 0, done.stderr
    assert "warning: profile runpod, stack cu121: " in done.stderr
    assert "CUDA 11.8" in done.stderr


def test_a_hub_json_that_cannot_be_read_is_said_before_anything_is_written(clone: Path) -> None:
    (clone / ".runpod" / "hub.json").write_text("{")
    (clone / "lockfiles" / "build.txt").unlink()
    done = lock(clone)
    assert done.returncode == 2, done.stderr
    assert ".runpod/hub.json" in done.stderr
    assert not (clone / "lockfiles" / "build.txt").exists()


def test_a_day_is_locked_again_when_it_is_named(clone: Path) -> None:
    """So what the registry shows late comes in, without another day."""
    day = str(load().lock.as_of)
    before = made_anew(clone)
    path = clone / "lockfiles" / "worker-py3.11.txt"
    found = read(path)
    path.write_text(Lockfile(path, found.inputs, found.body.replace("==", "==0!")).text())
    assert "nothing to do" in lock(clone).stdout
    done = lock(clone, "--as-of", day)
    assert done.returncode == 0, done.stderr
    assert state(clone) == before


def test_what_must_be_fresh_and_cannot_be_reached_is_a_failure(clone: Path) -> None:
    (clone / "workspace.toml").write_text(
        (clone / "workspace.toml")
        .read_text()
        .replace("python:3.10.14-slim-bookworm", "127.0.0.1:1/python:1")
    )
    done = lock(clone, "--require-fresh", "--dry-run")
    assert done.returncode == 1, done.stderr
    assert "images.python" in done.stderr
    assert "Nothing was written" in done.stderr


def test_pip_tools_agrees_with_uv_on_the_worker_and_on_a_universal_lock(clone: Path) -> None:
    made_anew(clone)
    done = command(
        *("lock", "--verify", "worker-py3.11", "tools"),
        root=clone,
        environment=SHARED,
        timeout_s=1200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    worker, tools = (
        list(pins(read(clone / "lockfiles" / f"{name}.txt").body))
        for name in ("worker-py3.11", "tools")
    )
    assert f"worker-py3.11: {len(worker)} packages, the same versions and hashes." in done.stdout
    markers = [Requirement(pin.requirement).marker for pin in tools]
    packages = sum(marker is None or marker.evaluate() for marker in markers)
    assert packages < len(markers)
    assert f"tools: {packages} packages, the same versions and hashes." in done.stdout


def test_a_lock_that_pip_tools_would_not_write_ends_with_3_and_a_table(clone: Path) -> None:
    (clone / "requirements" / "worker.in").write_text("httpx\n")
    assert lock(clone).returncode == 0
    path = clone / "lockfiles" / "worker-py3.11.txt"
    found = read(path)
    dropped = next(line for line in found.body.splitlines() if "--hash=" in line)
    body = found.body.replace(f"{dropped}\n", "", 1)
    path.write_text(Lockfile(path, found.inputs, body).text())
    done = command("lock", "--verify", "worker-py3.11", root=clone, environment=SHARED)
    assert done.returncode == 3, done.stderr + done.stdout
    assert "1 hashes more, 0 less" in done.stdout
    assert "uv does not lock these 1 packages so either" in done.stderr


def test_a_pylock_gives_the_same_environment_as_the_lock(clone: Path, tmp_path: Path) -> None:
    done = lock(clone, "--pylock")
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (clone / ".workspace" / "pylock").iterdir()}
    assert made == {f"pylock.{each.name.replace('.', '')}.toml" for each in targets(load())}
    frozen = []
    for name, source in (
        ("one", clone / "lockfiles" / "worker-py3.11.txt"),
        ("other", clone / ".workspace" / "pylock" / "pylock.worker-py311.toml"),
    ):
        python = tmp_path / name / "bin" / "python"
        uv("venv", "--python", "3.11", str(tmp_path / name))
        # The lock leaves it to the installer which of its files fits best, here and in the image.
        platform = f"--python-platform={load().lock.platform}"
        uv("pip", "sync", platform, "--python", str(python), str(source))
        site = tmp_path / name / "lib" / "python3.11" / "site-packages"
        frozen.append(
            {
                path.relative_to(site).as_posix(): path.read_bytes()
                for path in site.rglob("*")
                # RECORD lists the scripts with the address of the interpreter in their first line.
                if path.is_file() and path.name not in ("RECORD", "direct_url.json")
            }
        )
    assert frozen[0] == frozen[1]
    assert len(frozen[0]) > 1000


def uv(*arguments: str) -> None:
    from uv import find_uv_bin

    done = subprocess.run(
        [find_uv_bin(), *arguments, "--quiet"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
