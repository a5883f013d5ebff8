"""Times of short calls on a GPU are the GPU's, whatever the host takes to issue them.

No GPU is here: tests/support/gpu.py is a fake of a device and its queue.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.support.gpu import FakeGpu, probe

MS = 1_000_000


@pytest.fixture
def gpu() -> FakeGpu:
    return FakeGpu()


@pytest.fixture
def timing(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> Any:
    return probe(monkeypatch, gpu, "timing")[0]


@pytest.mark.parametrize("runs", [2_000, 5_000, 40_000, 900_000])
@pytest.mark.parametrize("calls", [1, 7, 64, 65, 200])
def test_the_time_of_a_call_is_the_devices_and_the_time_to_issue_the_hosts(
    runs: int, calls: int, gpu: FakeGpu, timing: Any
) -> None:
    """It takes 15 us to issue what runs for 2: without a head start that would be the time."""
    timed = timing.Timed(gpu.call(runs, issue=15_000), "cuda")
    for _ in range(3):
        assert timed.sample(calls)[:3] == (runs, 15_000, False)


def test_a_host_that_did_not_run_ahead_is_told_and_gets_more_time_until_it_does(
    gpu: FakeGpu, timing: Any
) -> None:
    timed = timing.Timed(gpu.call(5_000, issue=400_000), "cuda")
    samples = [timed.sample(20) for _ in range(4)]
    assert samples[0].issue_bound
    assert samples[0].device_ns > 100_000
    assert samples[-1][:3] == (5_000, 400_000, False)


def test_a_host_that_becomes_slow_is_told_once(gpu: FakeGpu, timing: Any) -> None:
    issue = 10_000
    timed = timing.Timed(lambda: gpu.launch(5_000, issue), "cuda")
    bound = []
    for _ in range(3):
        bound.append(timed.sample(50).issue_bound)
    issue = 60_000
    for _ in range(3):
        bound.append(timed.sample(50).issue_bound)
    assert bound == [False, False, False, True, False, False]


def test_for_how_long_the_device_was_held_is_told_beside_the_time_of_the_calls(
    gpu: FakeGpu, timing: Any
) -> None:
    begun = gpu.now
    timed = timing.Timed(gpu.call(5_000, issue=10_000), "cuda", evict=lambda: gpu.launch(1, 1))
    sample = timed.sample(20)
    launching = 20 * 5_000
    assert sample.held_ns == pytest.approx(sum(gpu.held) + launching, abs=20)
    assert sample.held_ns + 20 * sample.device_ns < gpu.now - begun


def test_one_slow_span_is_not_paid_for_in_all_that_follow(gpu: FakeGpu, timing: Any) -> None:
    issue = 10_000
    timed = timing.Timed(lambda: gpu.launch(5_000, issue), "cuda")
    for _ in range(2):
        timed.sample(50)
    usual = gpu.held[-1]
    issue = 300_000
    timed.sample(50)
    issue = 10_000
    for _ in range(4):
        timed.sample(50)
    assert gpu.held[-1] == usual
    assert max(gpu.held) <= 51 * MS


def test_a_call_that_waits_for_the_device_is_issue_bound_and_holds_it_no_more(
    gpu: FakeGpu, timing: Any
) -> None:
    def call() -> None:
        gpu.launch(5_000, 15_000)
        gpu.synchronize()

    timed = timing.Timed(call, "cuda")
    samples = [timed.sample(10) for _ in range(20)]
    assert all(each.issue_bound for each in samples)
    assert samples[-1].host_ns == 20_000
    assert max(gpu.held) <= 51 * MS
    assert len(gpu.held) < 20


@pytest.mark.parametrize("launches", [1, 3, 30, 128, 500])
def test_no_span_fills_the_queue(launches: int, gpu: FakeGpu, timing: Any) -> None:
    """Eight kernels a row of the batch, as V1 has them, are many launches in few calls."""
    call = gpu.call(3_000, issue=6_000, launches=launches)
    timed = timing.Timed(call, "cuda", launches=launches)
    assert timed.sample(200)[:3] == (3_000 * launches, 6_000 * launches, False)
    assert gpu.deepest < 600


def test_calls_are_all_made_and_in_spans_of_about_one_length(gpu: FakeGpu, timing: Any) -> None:
    made = []

    def call() -> None:
        made.append(len(gpu.held))
        gpu.launch(5_000, 10_000)

    timing.Timed(call, "cuda").sample(130)
    assert [made.count(span) for span in sorted(set(made))] == [44, 43, 43]


@pytest.mark.parametrize(("runs", "bound"), [(20_000, False), (3_000, True)])
def test_a_pass_that_the_queue_does_not_take_is_the_devices_if_that_had_work_to_the_end(
    runs: int, bound: bool, gpu: FakeGpu, timing: Any
) -> None:
    """A U-Net of 3000 launches, 7 us each to issue."""
    timed = timing.Timed(gpu.call(runs, issue=7_000, launches=3_000), "cuda", launches=3_000)
    samples = [timed.sample() for _ in range(4)]
    assert [each.issue_bound for each in samples] == [bound] * 4
    if not bound:
        assert samples[-1].device_ns == 3_000 * runs
    # No longer than the queue takes: the host would only wait.
    assert samples[-1].host_ns < 1.2 * 3_000 * max(runs, 7_000)
    assert gpu.held[-1] < 12 * MS


def test_a_pass_whose_issue_takes_the_time_is_timed_without_holding_the_device(
    gpu: FakeGpu, timing: Any
) -> None:
    """Held while a part is issued, the device would be done with the rest in less than that."""
    timed = timing.Timed(gpu.call(3_000, issue=7_000, launches=3_000), "cuda", launches=3_000)
    held = timed.sample()
    assert held.device_ns < 0.9 * held.host_ns
    for _ in range(3):
        each = timed.sample()
        assert each.issue_bound
        assert each.host_ns == 3_000 * 7_000
        assert each.device_ns == pytest.approx(each.host_ns, rel=0.01)
    assert len(gpu.held) == 1


def test_cold_caches_are_emptied_before_each_call_and_outside_of_its_time(
    gpu: FakeGpu, timing: Any
) -> None:
    done = []

    def evict() -> None:
        done.append("evict")
        gpu.launch(100_000, 12_000)

    def call() -> None:
        done.append("call")
        gpu.launch(5_000, 15_000)

    assert timing.Timed(call, "cuda", evict=evict).sample(20)[:3] == (5_000, 15_000, False)
    assert done == ["evict", "call"] * 20


@pytest.mark.parametrize("cold", [False, True])
def test_on_a_cpu_both_times_are_one_and_nobody_waits_for_anybody(
    cold: bool, gpu: FakeGpu, timing: Any
) -> None:
    """The fake's clock moves with the call, and there is no device."""

    def takes(ns: int) -> Any:
        return lambda: setattr(gpu, "now", gpu.now + ns)

    timed = timing.Timed(takes(700), "cpu", evict=takes(90_000) if cold else None)
    assert timed.sample(20)[:3] == (700, 700, None)
    assert gpu.held == []


def test_warm_up_ends_when_the_times_settle_or_its_time_is_over(gpu: FakeGpu, timing: Any) -> None:
    times = [90_000] * 3
    assert timing.Timed(gpu.call(5_000, 15_000), "cuda").warm_up(times, warm_by=1.0)
    assert times == [90_000] * 3 + [5_000] * 10
    times = [90_000] * 10
    assert not timing.Timed(gpu.call(5_000, 15_000), "cuda").warm_up(times, warm_by=0.0)
    assert times == [90_000] * 10 + [5_000]
    times = []
    timed = timing.Timed(lambda: gpu.launch(5_000 + gpu.now % 4_000, 15_001), "cuda")
    assert not timed.warm_up(times, warm_by=gpu.now / 1e9 + 0.001)
    assert times


def test_the_share_of_attention_is_the_devices(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the device's time, and a fifth of the host's."""
    networks: Any = ModuleType("networks")
    networks.Network = object
    monkeypatch.setitem(sys.modules, "scripts.bench.probe.networks", networks)
    (attention,) = probe(monkeypatch, gpu, "attention")

    def run(attend: Any) -> None:
        for _ in range(32):
            gpu.launch(6_000, 40_000)
            attend(None, None, None, 1)

    def backend(*_: Any) -> None:
        gpu.launch(6_000, 10_000)

    assert attention.share(SimpleNamespace(run=run), backend, "cuda", 64) == pytest.approx(0.5)
