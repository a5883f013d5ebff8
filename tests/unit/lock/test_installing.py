"""Locks tried by the real uv against an index on localhost: installed by hash, and imported."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.lock import install
from scripts.lock.install import Trial, attempt
from scripts.workspace.errors import CheckFailed, Failure
from scripts.workspace.model import load, targets
from tests.support.commands import command
from tests.support.index import Index


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An index that is away is away at the first word, and environments are the test's own."""
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setattr(install, "ENVIRONMENTS", tmp_path / "install")


def tried(index: Index, *modules: str, folder: Path) -> list[str]:
    """Try a lock of every wheel of the index; return what is said on the way."""
    lock = folder / "app.txt"
    lines = []
    for name in index.files:
        digest = hashlib.sha256(index.contents[f"{name}-1.0-py3-none-any.whl"]).hexdigest()
        lines.append(f"{name}==1.0 \\\n    --hash=sha256:{digest}\n")
    lock.write_text("".join(lines))
    said: list[str] = []
    try:
        attempt(Trial("app", (lock,), sys.executable, modules, folder / "build.txt"), said.append)
    finally:
        assert list(install.ENVIRONMENTS.iterdir()) == [], "the environment is still there"
    return said


@pytest.fixture(autouse=True)
def builders(tmp_path: Path) -> None:
    (tmp_path / "build.txt").write_text("")


def test_a_lock_that_installs_and_imports_says_so_phase_by_phase(
    index: Index, tmp_path: Path
) -> None:
    index.wheel("clay", "1.0", requires=["kiln"])
    index.wheel("kiln", "1.0")
    said = tried(index, "clay", "kiln", folder=tmp_path)
    assert [line.split(" in ")[0] for line in said] == [
        "app: 2 packages to install.",
        "app: 2 packages installed by hash",
        "app: 2 packages held against one another",
        "app: 2 modules tried",
    ]


def test_each_module_that_does_not_import_is_named_with_its_last_line(
    index: Index, tmp_path: Path
) -> None:
    index.wheel("clay", "1.0", code="raise TypeError('first\\nsecond')")
    index.wheel("kiln", "1.0", code="import glaze")
    index.wheel("oven", "1.0", code="raise SystemExit(0)")
    index.wheel("wheel", "1.0")
    with pytest.raises(CheckFailed) as failure:
        tried(index, "clay", "kiln", "oven", "wheel", "absent", folder=tmp_path)
    assert failure.value.code == 3
    head, *lines = failure.value.message.split("\n  ")
    assert head == "app installs, but 4 of 5 modules cannot be imported:"
    assert lines == [
        "import clay: TypeError: first",
        "import kiln: ModuleNotFoundError: No module named 'glaze'",
        "import oven: SystemExit: 0",
        "import absent: ModuleNotFoundError: No module named 'absent'",
    ]


def test_a_module_that_ends_python_is_named_and_those_after_it_are_still_tried(
    index: Index, tmp_path: Path
) -> None:
    index.wheel("clay", "1.0")
    index.wheel("kiln", "1.0", code="import os; os.kill(os.getpid(), 11)")
    index.wheel("oven", "1.0", code="import os; os._exit(7)")
    index.wheel("wheel", "1.0", code="import glaze")
    with pytest.raises(CheckFailed) as failure:
        tried(index, "clay", "kiln", "oven", "wheel", folder=tmp_path)
    assert failure.value.message.split("\n  ")[1:] == [
        "import kiln: it ended Python with SIGSEGV",
        "import oven: it ended Python with exit code 7",
        "import wheel: ModuleNotFoundError: No module named 'glaze'",
    ]


def test_a_module_that_hangs_is_given_up(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "IMPORT_TIMEOUT_S", 1)
    index.wheel("clay", "1.0", code="import time; time.sleep(600)")
    with pytest.raises(CheckFailed, match="import clay: it was not imported within 1 s"):
        tried(index, "clay", folder=tmp_path)


def test_modules_see_an_empty_folder_no_gpu_and_nothing_of_the_machine_s_python(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "glaze.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    index.wheel(
        "clay",
        "1.0",
        code="import os, sys\n"
        "assert os.listdir('.') == []\n"
        "assert os.environ['CUDA_VISIBLE_DEVICES'] == ''\n"
        "assert os.path.expanduser('~') == os.path.dirname(os.getcwd())\n"
        "import glaze\n",
    )
    with pytest.raises(CheckFailed) as failure:
        tried(index, "clay", folder=tmp_path)
    assert failure.value.message.endswith(
        "\n  import clay: ModuleNotFoundError: No module named 'glaze'"
    )


def test_what_a_module_prints_is_not_taken_for_its_result(
    index: Index, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index.wheel("clay", "1.0", code="import sys; print('null'); print('x', file=sys.stderr)")
    tried(index, "clay", folder=tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_files_are_those_for_the_platform_of_the_image(index: Index, tmp_path: Path) -> None:
    index.wheel("clay", "1.0", tags="py3-none-manylinux_2_28_x86_64")
    index.wheel("clay", "1.0", tags="py3-none-manylinux_2_36_x86_64", code="raise TypeError")
    lock = tmp_path / "app.txt"
    wheels = [data for name, data in index.contents.items() if name.endswith(".whl")]
    hashes = [f"--hash=sha256:{hashlib.sha256(data).hexdigest()}" for data in wheels]
    lock.write_text(" \\\n    ".join(["clay==1.0", *hashes]) + "\n")
    older = Trial(
        "app",
        (lock,),
        sys.executable,
        ("clay",),
        tmp_path / "build.txt",
        platform="x86_64-manylinux_2_28",
    )
    attempt(older, print)
    with pytest.raises(CheckFailed, match="import clay: TypeError"):
        attempt(replace(older, platform="x86_64-manylinux_2_36"), print)


def test_a_package_outside_the_lock_and_one_that_does_not_fit_are_named(
    index: Index, tmp_path: Path
) -> None:
    index.wheel("clay", "1.0", requires=["kiln>=2", "glaze"])
    index.wheel("kiln", "1.0")
    with pytest.raises(CheckFailed) as failure:
        tried(index, "clay", "kiln", folder=tmp_path)
    head, *lines = failure.value.message.split("\n  ")
    assert head == "app installs, but 2 requirements are not met:"
    assert sorted(lines) == [
        "The package `clay` requires `glaze`, but it's not installed",
        "The package `clay` requires `kiln>=2`, but `1.0` is installed",
    ]


def test_a_file_that_is_not_the_locked_one_is_not_installed(index: Index, tmp_path: Path) -> None:
    index.wheel("clay", "1.0")
    (file,) = [name for name in index.contents if name.endswith(".whl")]
    lock = tmp_path / "app.txt"
    lock.write_text(f"clay==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    trial = Trial("app", (lock,), sys.executable, ("clay",), tmp_path / "build.txt")
    with pytest.raises(CheckFailed, match="app cannot be installed") as failure:
        attempt(trial, print)
    assert failure.value.code == 3
    assert "0" * 64 in failure.value.message
    assert hashlib.sha256(index.contents[file]).hexdigest() in failure.value.message
    assert list(install.ENVIRONMENTS.iterdir()) == []


def test_a_registry_that_breaks_the_connection_is_no_fault_of_the_lock(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "1")
    index.wheel("clay", "1.0")
    index.dies_after = 0
    with pytest.raises(Failure, match="registry could not be reached, so app") as failure:
        tried(index, "clay", folder=tmp_path)
    assert failure.value.code == 1


def test_a_registry_that_is_not_well_is_no_fault_of_the_lock(index: Index, tmp_path: Path) -> None:
    index.wheel("clay", "1.0")
    index.unavailable = 100
    with pytest.raises(Failure, match="registry could not be reached, so app") as failure:
        tried(index, "clay", folder=tmp_path)
    assert failure.value.code == 1


def test_a_network_that_is_switched_off_is_no_fault_of_the_lock(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    index.wheel("clay", "1.0")
    with pytest.raises(Failure, match="registry could not be reached, so app") as failure:
        tried(index, "clay", folder=tmp_path)
    assert failure.value.code == 1


def test_a_file_that_the_registry_no_longer_has_is_the_lock_s_fault(
    index: Index, tmp_path: Path
) -> None:
    index.wheel("clay", "1.0")
    index.files["clay"].clear()
    with pytest.raises(CheckFailed, match="app cannot be installed") as failure:
        tried(index, "clay", folder=tmp_path)
    assert "--upgrade" in failure.value.hint


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel("clay", "1.0")
    monkeypatch.setattr(install, "SMALL", 1 << 60)
    with pytest.raises(Failure, match=r"installing app needs [0-9.]+ GB of disk"):
        tried(index, "clay", folder=tmp_path)
    assert index.asked == []


def test_a_python_that_is_not_here_is_named_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # uv finds an interpreter on PATH, or among those that it installed itself.
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path))
    (target,) = [each for each in targets(load()) if each.name == "worker-py3.11"]
    with pytest.raises(Failure) as failure:
        install.install(target, load(), print)
    assert failure.value.message == (
        "worker-py3.11 is for Python 3.11, which is not on this machine."
    )
    assert "uv python install 3.11" in failure.value.hint
    assert failure.value.code == 1


def test_an_unknown_target_is_answered_with_the_nearest_and_the_list() -> None:
    done = command("lock", "--install", "workr-py3.11")
    assert done.returncode == 2
    assert "there is no target workr-py3.11. Did you mean worker-py3.11?" in done.stderr
    assert all(target.name in done.stderr for target in targets(load()))
