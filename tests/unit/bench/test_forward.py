"""Suites `unet` and `vae` in the probe, on a fake of a GPU (tests/support/gpu.py)."""

import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scripts.bench.probe.attn_plan import Choice
from scripts.bench.probe.configurations import SD15
from scripts.bench.probe.samples import Failed
from scripts.bench.probe.workloads import Workload
from tests.support.gpu import FakeGpu, probe


@pytest.fixture
def gpu() -> FakeGpu:
    return FakeGpu()


@pytest.fixture
def forward(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> Any:
    return probe(monkeypatch, gpu, "forward", "attn_job")[0]


def workload_run(forward: Any, suite: Any = "unet", dtype: str = "float16") -> Any:
    settings = forward.Settings(1, 6, 10.0, True, Choice())
    workload = Workload(suite, SD15, 512, dtype)
    return forward._WorkloadRun(workload, "cuda", settings, cast(Any, None), None)


def test_a_pass_that_runs_out_of_memory_is_no_sample_and_its_memory_is_given_back(
    forward: Any, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[bool] = []
    monkeypatch.setattr(forward.torch.cuda, "empty_cache", lambda: freed.append(True))

    def fails() -> None:
        raise MemoryError("CUDA out of memory.")

    running = workload_run(forward)
    assert running._sample(forward.timing.Timed(fails, "cuda")) == Failed(
        "oom", "MemoryError: CUDA out of memory."
    )
    assert freed == [True]
    assert running._sample(forward.timing.Timed(gpu.call(5_000, 10), "cuda")).device_ns == 5_000


def test_the_first_round_knows_from_warm_up_whether_issue_takes_the_time(
    forward: Any, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A U-Net of 3000 launches, 7 us each to issue what the GPU does in 3."""
    known = forward.parity.Parity(3e-7, 2e-3, True, True, (90_000,) * 10)
    monkeypatch.setattr(forward.parity, "check", lambda *_: known)
    monkeypatch.setattr(forward.kernels, "launches", lambda *_: 3_000)
    resolved = forward.kernels.Resolved("aten::bmm", 1)
    monkeypatch.setattr(forward.kernels, "resolved", lambda *_: resolved)
    attention = SimpleNamespace(share=lambda *_: 0.5)
    monkeypatch.setitem(sys.modules, "scripts.bench.probe.attention", cast(Any, attention))
    running = workload_run(forward)
    passes = gpu.call(3_000, issue=7_000, launches=3_000)
    network = SimpleNamespace(run=lambda _: passes())
    found = SimpleNamespace(largest=(), output=None, errors={"sdp": 1e-4}, most_keys=4096)
    assert running._measured("sdp", network, found, warm_by=0.0)["status"] == "ok"
    first = running._sample(running.timed["sdp"])
    assert first.issue_bound
    assert first.device_ns == pytest.approx(3_000 * 7_000, rel=0.01)


@pytest.mark.parametrize(
    ("dtype", "keys", "allowed"),
    [
        ("float32", 77, 5e-6),
        ("float32", 4096, 5e-6),
        ("float32", 16384, 1e-5),
        ("float16", 16384, 4e-3),
    ],
)
def test_a_sum_over_more_keys_may_be_rounded_more(
    dtype: str, keys: int, allowed: float, forward: Any
) -> None:
    parity = forward.parity
    assert parity.tolerance(dtype, keys) == pytest.approx(allowed)
    for error, agrees in ((0.99 * allowed, True), (1.01 * allowed, False)):
        found = parity.Parity(error, 0.5, True, True, ())
        assert (found.fault(dtype, keys) is None) == agrees
        exact = parity.Parity(0.0, 0.0, True, True, ())
        assert (forward._fault(error, exact, dtype, keys) is None) == agrees
