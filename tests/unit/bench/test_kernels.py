"""Which kernel a call is named after, and how many it launched. The profiler is a fake."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.gpu import FakeGpu, probe


def event(key: str, device: str, own: float, count: int = 1, attribute: str = "device") -> Any:
    fields = {"key": key, "device_type": f"DeviceType.{device}", "count": count}
    return SimpleNamespace(**fields, **{f"self_{attribute}_time_total": own})


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Any:
    return probe(monkeypatch, FakeGpu(), "kernels")[0]


def seen(kernels: Any, monkeypatch: pytest.MonkeyPatch, *events: Any) -> None:
    """Have the profiler see these events."""
    profiler = SimpleNamespace(key_averages=lambda: list(events))
    monkeypatch.setattr(kernels, "recorder", lambda _: nullcontext(profiler))


# The attribute's name changed in torch 2.4.
@pytest.mark.parametrize("attribute", ["device", "cuda"])
def test_a_call_is_named_by_its_operator_and_its_longest_kernel(
    attribute: str, kernels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(
        kernels,
        monkeypatch,
        event("aten::_flash_attention_forward", "CPU", 900.0, attribute=attribute),
        event("elementwise_kernel", "CUDA", 3.0, count=4, attribute=attribute),
        event("flash_fwd_kernel", "CUDA", 70.0, attribute=attribute),
        event("Memset (Device)", "CUDA", 1.0, count=2, attribute=attribute),
    )
    found = kernels.resolved(lambda: None, "cuda")
    assert found == ("aten::_flash_attention_forward; flash_fwd_kernel", 7)
    assert kernels.launches(lambda: None, "cuda") == 7


def test_on_a_cpu_there_is_no_kernel_and_no_launch(
    kernels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(kernels, monkeypatch, event("aten::bmm", "CPU", 9.0), event("aten::exp", "CPU", 1.0))
    assert kernels.resolved(lambda: None, "cpu") == ("aten::bmm + aten::exp", 0)

    def call() -> None:
        raise AssertionError("a pass for nothing")

    assert kernels.launches(call, "cpu") == 0
