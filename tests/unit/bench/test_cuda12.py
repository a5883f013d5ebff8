"""Finding and loading the CUDA 12 runtime, with another library in its place: no CUDA is here."""

import ctypes.util
import re
import shutil
import sys
from pathlib import Path

import pytest

from scripts.bench.probe import cuda12

LIBRARY = "nvidia/cuda_runtime/lib/libcudart.so.12"


def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as pip leaves it, below `site`, which is on sys.path."""
    record = site / "nvidia_cuda_runtime_cu12-12.9.79.dist-info"
    record.mkdir()
    metadata = "Metadata-Version: 2.1\nName: nvidia-cuda-runtime-cu12\nVersion: 12.9.79\n"
    (record / "METADATA").write_text(metadata)
    (record / "RECORD").write_text(f"nvidia/cuda_runtime/lib/libcudadevrt.a,,\n{LIBRARY},,\n")
    (site / LIBRARY).parent.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(site))
    return site / LIBRARY


def loaded(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


@pytest.fixture
def a_library() -> Path:
    """Some library of this machine that loads."""
    name = ctypes.util.find_library("m")
    assert name is not None
    ctypes.CDLL(name)
    found = re.search(rf"(/\S+{re.escape(name)})$", Path("/proc/self/maps").read_text(), re.M)
    assert found is not None
    return Path(found[1])


def test_the_runtime_is_found_where_pip_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = installed(tmp_path, monkeypatch)
    assert cuda12.find() == path


def test_beside_cuda_13_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a_library: Path
) -> None:
    path = installed(tmp_path, monkeypatch)
    shutil.copyfile(a_library, path)
    assert not loaded(path)
    said = cuda12.preload("13.0")
    assert said == "libcudart.so.12 of nvidia-cuda-runtime-cu12 12.9.79 loaded"
    assert loaded(path)


@pytest.mark.parametrize("cuda", ["12.1", "12.8", None])
def test_beside_cuda_12_or_none_nothing_is_done(
    cuda: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch).write_bytes(b"no library")
    assert cuda12.preload(cuda) is None


def test_a_library_that_does_not_load_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch).write_bytes(b"no library")
    assert "not loaded" in (cuda12.preload("13.0") or "")


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    said = cuda12.preload("13.0")
    assert said == "libcudart.so.12 not loaded: nvidia-cuda-runtime-cu12 is not installed"
