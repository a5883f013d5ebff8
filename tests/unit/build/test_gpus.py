"""Whether containers get this machine's GPU, on a fake engine and a fake machine."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import ImageNotFound

from scripts.build import engine, image
from scripts.serve import __main__ as serve
from scripts.workspace.errors import BadInput


class FakeEngine:
    """Stands for a Docker client whose engine lists these runtimes."""

    def __init__(self, *runtimes: str) -> None:
        self.runtimes = runtimes

    def info(self) -> dict[str, Any]:
        return {"Runtimes": {name: {} for name in ("runc", *self.runtimes)}}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a GPU, whose first one would be this file, and without nvidia-smi."""
    monkeypatch.setattr(image, "GPU_DEVICE", tmp_path / "nvidia0")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def unused(*runtimes: str) -> str | None:
    return image.unused_gpu(FakeEngine(*runtimes))  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", ["nvidia0", "nvidia-smi"])
def test_a_gpu_that_containers_do_not_get_is_said_in_one_line_with_the_remedy(
    machine: Path, sign: str
) -> None:
    (machine / sign).touch(mode=0o755)
    told = str(unused())
    assert "the engine has no runtime `nvidia`" in told
    assert "Install nvidia-container-toolkit" in told
    assert "--in host" in told
    assert "\n" not in told


@pytest.mark.usefixtures("machine")
def test_a_machine_without_gpu_has_nothing_to_say() -> None:
    assert unused() is None


def test_a_gpu_that_containers_get_is_not_complained_of(machine: Path) -> None:
    (machine / "nvidia0").touch()
    assert unused("nvidia") is None
    assert image.gpus(FakeEngine("nvidia")) is not None  # type: ignore[arg-type]


def test_serve_says_so_before_it_starts_anything(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine / "nvidia0").touch()

    class Containers:
        """Stands for the containers of an engine that has no image."""

        def list(self, **_: Any) -> list[Any]:
            return []

        def create(self, *_: Any, **__: Any) -> None:
            raise ImageNotFound("no such image")

    client = FakeEngine()
    client.containers = Containers()  # type: ignore[attr-defined]
    found = SimpleNamespace(client=lambda: client)
    monkeypatch.setattr(engine, "ensure", lambda: found)
    with pytest.raises(BadInput), serve.container("sdkiln:none", 0):
        pass
    assert "serve: this machine has an NVIDIA GPU, and it is not used" in capsys.readouterr().err
