"""Suites `unet` and `vae` in the probe, on a fake of a GPU (tests/support/gpu.py)."""

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
