"""Which GPU is described and watched, and what of it is written down.

No GPU is here: nvidia-smi and torch are fakes (tests/support/gpu.py).
"""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bench.probe import first_gpu
from scripts.bench.probe.attn_plan import Choice
from scripts.bench.probe.paced import Pace
from scripts.bench.tracking import machine
from tests.support.gpu import FakeGpu, fake_nvidia_smi, probe

FIRST, SECOND = (
    "GPU-3c1f0a7e-0000-1111-2222-333344445555",
    "GPU-77aa91be-0000-1111-2222-666677778888",
)
PART = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"
COMMON = {
    "driver_version": "550.54.15",
    "clocks.max.sm": "1980 MHz",
    "mig.mode.current": "Disabled",
}
GPUS = (
    {"name": "NVIDIA A100", "uuid": FIRST, "power.limit": "400.00 W", **COMMON},
    {"name": "NVIDIA H100 80GB HBM3", "uuid": SECOND, "power.limit": "650.00 W", **COMMON},
)


def short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an nvidia-smi that knows two GPUs, the second in parts; alone on PATH."""
    fake_nvidia_smi(tmp_path, GPUS, f"  MIG 1g.5gb     Device  0: (UUID: {PART})\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("visible", "which"),
    [
        (None, "0"),
        ("1", "1"),
        ("1,0", "1"),
        (SECOND, SECOND),
        (f"{SECOND[:8]},{FIRST}", SECOND),
        (PART, SECOND),
        (f"MIG-{SECOND}/1/0", SECOND),
        ("GPU-nosuch", "GPU-nosuch"),
        ("", None),
        ("-1", None),
    ],
)
def test_torchs_first_gpu_is_found_by_what_is_visible(
    visible: str | None, which: str | None, two_gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert first_gpu.identifier() == which


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Any:
    return probe(monkeypatch, FakeGpu(), "device")[0]


@pytest.mark.parametrize("visible", ["1", SECOND, PART])
def test_the_gpu_that_torch_uses_is_described_whatever_the_machines_first_is(
    visible: str, two_gpus: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.gpu() == {
        "name": "NVIDIA H100 80GB HBM3",
        "capability": "9.0",
        "uuid_hash": short_hash(SECOND),
        "driver": "550.54.15",
        "power_limit": "650.00 W",
        "clocks_max": "1980 MHz",
        "mig": "Disabled",
    }
    assert machine.here(two_gpus).name == "nvidia-h100-80gb-hbm3"


def test_the_gpu_that_torch_uses_is_watched(
    two_gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (watching,) = probe(monkeypatch, FakeGpu(), "watching")
    monkeypatch.setattr(watching.torch, "version", type("version", (), {"cuda": "12.8"}), False)
    asked: list[str] = []

    def watch(which: str) -> tuple[None, str]:
        asked.append(which)
        return None, "no NVML"

    monkeypatch.setattr(watching.nvml, "watch", watch)
    monkeypatch.setattr(watching.cuda12, "preload", lambda _: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", PART)
    assert watching.begin("attn", "cuda") == (None, ["no NVML"])
    assert asked == [SECOND]


@pytest.mark.parametrize(("beside", "told"), [(0, 1), (1, 0)])
def test_a_probe_that_takes_turns_with_another_calls_only_the_third_a_stranger(
    beside: int, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (watching,) = probe(monkeypatch, FakeGpu(), "watching")
    monkeypatch.setattr(watching.torch, "version", type("version", (), {"cuda": "12.8"}), False)
    monkeypatch.setattr(watching.torch, "zeros", lambda *_, **__: None, raising=False)
    monkeypatch.setattr(watching.cuda12, "preload", lambda _: None)
    driver = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlDeviceGetCurrentClocksEventReasons=lambda _: 0,
        nvmlDeviceGetComputeRunningProcesses=lambda _: [SimpleNamespace(pid=71)],
    )
    twin = watching.nvml.Watch(driver, None)
    monkeypatch.setattr(watching.nvml, "watch", lambda _: (twin, "NVML 12"))
    _, notes = watching.begin("attn", "cuda", beside)
    assert notes == ["NVML 12", *["the GPU is in use by 1 other processes"] * told]


@pytest.mark.parametrize("suite", ["attn", "unet"])
@pytest.mark.parametrize("paced", [False, True])
def test_a_paced_suite_expects_its_twin_on_the_gpu(
    suite: str, paced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    attn, forward, job = probe(monkeypatch, FakeGpu(), "attn", "forward", "attn_job")
    expected: list[int] = []

    class Begun(Exception):
        """The watch began: what follows is of other tests."""

    def begin(_suite: str, _device: str, beside: int = 0) -> None:
        expected.append(beside)
        raise Begun

    monkeypatch.setattr(attn.watching, "begin", begin)
    pace = Pace(lambda *_: None) if paced else None
    settings = job.Settings(1, 6, 10.0, True, Choice(), pace=pace)
    with pytest.raises(Begun):
        if suite == "attn":
            attn.run(settings, None, 0.0)
        else:
            forward.run(suite, settings, None, 0.0)
    assert expected == [int(paced)]


def test_a_machine_whose_gpus_are_hidden_is_its_processor(
    two_gpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.here(two_gpus).name.endswith("-cores")


@pytest.mark.parametrize("answer", ["sleep 60", "exit 9", "echo one, two"])
def test_an_nvidia_smi_that_does_not_answer_leaves_what_it_knows_unknown(
    answer: str, tmp_path: Path, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does while a driver hangs."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        f"#!/bin/sh\nPATH=/usr/bin:/bin\nexec {answer}\n".replace("exec exit", "exit")
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(first_gpu, "LOOK_S", 0.5)
    found = device.gpu()
    assert (found["name"], found["driver"], found["uuid_hash"]) == (
        "NVIDIA H100 80GB HBM3",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (SECOND, f"GPU-sha256:{short_hash(SECOND)}"),
        (f"{FIRST},{PART}", f"GPU-sha256:{short_hash(FIRST)},MIG-sha256:{short_hash(PART)}"),
        (f"MIG-{FIRST}/1/0", f"MIG-sha256:{short_hash(f'MIG-{FIRST}')}/1/0"),
        ("GPU-3c1f", f"GPU-sha256:{short_hash('GPU-3c1f')}"),
        ("0,1", "0,1"),
        ("all", "all"),
        ("compute,utility", "compute,utility"),
        ("expandable_segments:True", "expandable_segments:True"),
    ],
)
def test_no_gpu_is_named_in_the_variables_that_are_kept(
    value: str, kept: str, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    switches = type("switches", (), {"allow_tf32": False, "benchmark": False})
    backends = type(
        "backends", (), {"cudnn": switches, "cuda": type("c", (), {"matmul": switches})}
    )
    monkeypatch.setattr(device.torch, "backends", backends, raising=False)
    deterministic = "are_deterministic_algorithms_enabled"
    monkeypatch.setattr(device.torch, deterministic, lambda: False, raising=False)
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, value)
        assert device.flags()["env"][name] == kept
