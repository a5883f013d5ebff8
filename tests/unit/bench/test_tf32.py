"""TF32 is on while something is timed, as in the web UI, and off while it is checked.

No GPU is here: torch and its switches are fakes (tests/support/gpu.py).
"""

import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bench.probe import __main__ as command
from scripts.bench.probe.attn_plan import Choice
from scripts.bench.probe.configurations import SD15
from scripts.bench.probe.workloads import Workload
from tests.support.gpu import FakeGpu, probe


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    names = ("tf32", "parity", "forward", "device", "attn", "attn_job")
    return SimpleNamespace(**dict(zip(names, probe(monkeypatch, FakeGpu(), *names), strict=True)))


def switches(modules: Any) -> tuple[bool, bool]:
    backends = modules.tf32.torch.backends
    return backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32


def test_what_the_probe_runs_has_it_on_and_its_header_tells_both_switches(
    modules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Mapping[str, Any]] = []
    emitter = SimpleNamespace(emit=lambda _, fields: told.append(fields))
    monkeypatch.setattr(command, "Emitter", lambda: emitter)
    for name in ("host", "gpu", "software"):
        monkeypatch.setattr(modules.device, name, lambda: None)
    deterministic = "are_deterministic_algorithms_enabled"
    monkeypatch.setattr(modules.device.torch, deterministic, lambda: False, raising=False)
    for name in ("KINETO_LOG_LEVEL", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "0")
    assert command._torch_command(command.parser().parse_args(["header"]), 0.0) == 0
    assert switches(modules) == (True, True)
    assert (told[0]["flags"]["tf32"], told[0]["flags"]["cudnn_tf32"]) == (True, True)


def test_a_machine_without_a_gpu_is_left_as_it_is(
    modules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules.tf32.torch.cuda, "is_available", lambda: False)
    modules.tf32.as_web_ui()
    assert switches(modules) == (False, True)


def test_a_call_that_is_checked_has_it_off_and_what_follows_on_again(modules: Any) -> None:
    seen: list[tuple[bool, bool]] = []

    def call() -> None:
        seen.append(switches(modules))
        raise NotImplementedError

    modules.tf32.as_web_ui()
    with pytest.raises(NotImplementedError):
        modules.parity.check(call, None, "cuda")
    assert seen == [(False, False)]
    assert switches(modules) == (True, True)


def test_the_pass_that_tells_what_a_network_must_give_has_it_off(
    modules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    for name, what in (
        ("networks", {"Network": lambda *_: None}),
        ("attention", {"survey": lambda *_: seen.append(switches(modules)), "Survey": None}),
    ):
        fake = SimpleNamespace(**what)
        monkeypatch.setitem(sys.modules, f"scripts.bench.probe.{name}", fake)
        monkeypatch.setattr(f"scripts.bench.probe.{name}", fake, raising=False)
    modules.tf32.as_web_ui()
    settings = modules.attn_job.Settings(1, 6, 10.0, True, Choice())
    workload = Workload("vae", SD15, 512, "float32")
    modules.forward._WorkloadRun(workload, "cuda", settings, None, None)._prepare(1.0)
    assert seen == [(False, False)]
    assert switches(modules) == (True, True)
