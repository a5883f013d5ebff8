"""A shape of suite `attn` from the probe to the verdict, on a fake of a GPU (tests/support/gpu.py).

What is measured is made up; what measures, and what judges, is what runs.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import pytest

from scripts.bench import attn, cases
from scripts.bench.probe import rounds, schedule, shapes
from scripts.bench.probe.attn_plan import Choice, Job
from scripts.bench.probe.nvml import Reading, Watch
from scripts.bench.probe.roofline import Ceilings
from scripts.bench.probe.samples import Sample
from scripts.bench.suite import RawRecord
from tests.support.gpu import FakeGpu, probe

SHAPE = shapes.sd15()[0]
RUNS = {"sdp": 50_000, "V1": 60_000, "sdp@again": 50_000}
CEILINGS = Ceilings(1e15, 1e12, 1e13, "made up")


class Emitted(list[RawRecord]):
    """Where the probe's records go."""

    def emit(self, record: str, fields: Mapping[str, Any]) -> None:
        self.append({"record": record, **fields})


class FallingClock:
    """Stands for NVML on a GPU whose SM clock is lower right around the samples of one backend.

    It is asked twice for each sample, whose order follows from the seed.
    """

    def __init__(self, slow: str, key: str) -> None:
        self._slow, self._key, self._asked = slow, key, 0

    def sm_mhz(self) -> int:
        index, place = divmod(self._asked // 2, len(RUNS))
        self._asked += 1
        running = rounds.order(list(RUNS), 1, self._key, index)[place]
        return 1650 if running == self._slow else 1980

    def read(self) -> Reading:
        return Reading(sm_mhz=1980)


def measured(
    monkeypatch: pytest.MonkeyPatch,
    *,
    watch: FallingClock | None = None,
    issue: int = 15_000,
    waits: bool = False,
    device: Any = "cuda",
    dtype: str = "float16",
) -> Emitted:
    """The records of a shape whose backends run as long as RUNS says."""
    gpu = FakeGpu()
    job, kernels, parity, attn_backends = probe(
        monkeypatch, gpu, "attn_job", "kernels", "parity", "attn_backends"
    )
    made = iter(RUNS)

    def prepared(*_: Any) -> Any:
        name = next(made)

        def call() -> None:
            gpu.launch(RUNS[name], issue)
            if waits or device == "cpu":
                gpu.synchronize()

        return attn_backends.Call(call)

    found = parity.Parity(3e-7, 2e-3, True, True, (90_000,) * 10)
    for name, fake in (
        ("inputs", lambda *_: (None, None, None)),
        ("reference", lambda *_: None),
        ("check", lambda *_: found),
    ):
        monkeypatch.setattr(parity, name, fake)
    monkeypatch.setattr(kernels, "resolved", lambda *_: kernels.Resolved("aten::_flash", 1))
    monkeypatch.setattr(job, "prepared", prepared)
    monkeypatch.setattr(job.timing, "_peak_on_cpu", lambda _: 4_000)
    emitted = Emitted()
    settings = job.Settings(1, 8, 10.0, True, Choice())
    place = job.Place(device, settings, emitted, watch, {dtype: CEILINGS}, None)
    job.JobRun(Job(SHAPE, dtype, tuple(RUNS)), place, 10.0, gpu.now / 1e9 + 10).run()
    return emitted


def verdicts(found: Any) -> dict[str, str]:
    return {each.b.rsplit("/", 1)[-1]: each.verdict for each in found.compare}


def test_short_calls_have_the_gpus_time_its_cycles_and_its_part_of_the_ceiling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = measured(monkeypatch, watch=FallingClock("none", SHAPE.name), issue=300_000)
    found = attn.evaluate(records, seed=1)
    first, slower, _ = found.cases
    assert set(first.samples_ns) == {50_000}
    assert set(first.host_ns) == {300_000}
    assert set(slower.cycles) == {60_000 * 1980 // 1000}
    assert (first.issue_bound, first.reason) == (0, None)
    assert (first.bound, first.bytes) == ("flops", SHAPE.least_bytes(2))
    assert first.pct_floor == pytest.approx(100 * SHAPE.flops / 1e15 / 50e-6)
    assert (first.rel_l2, first.max_abs, first.peak_bytes) == (3e-7, 2e-3, 3_000)
    assert verdicts(found) == {"V1": "SLOWER", "sdp@again": "SAME"}


def test_a_clock_that_falls_only_while_one_backend_runs_is_no_verdict_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of attn, in which V1 takes a fifth longer, by a clock that is a fifth lower."""
    records = measured(monkeypatch, watch=FallingClock("V1", SHAPE.name))
    found = attn.evaluate(records, seed=1)
    assert found.compare[0].ratio == pytest.approx(1.2)
    assert verdicts(found) == {"V1": "INCONCLUSIVE", "sdp@again": "SAME"}
    for record in records:
        record.pop("sm_mhz", None)
    assert verdicts(attn.evaluate(records, seed=1))["V1"] == "SLOWER"


def test_the_same_holds_in_networks() -> None:
    """Of unet and vae, whose rounds the schedule runs."""
    emitted = Emitted()
    key = "sd15-512/float16"
    common = {"shape": key, "dtype": "float16", "status": "ok", "reason": None, "max_abs": 0.5}
    for name in RUNS:
        emitted.emit("case", {**common, "id": f"unet/{key}/{name}", "requested": "sdp"})
    takes = {name: partial(Sample, 1000 * taken, 7, False) for name, taken in RUNS.items()}
    plan = schedule.Schedule(1, 8, due=0.0, latest=float("inf"))
    watch = cast(Watch, FallingClock("V1", key))
    schedule.run(takes, "sdp", key, plan, emitted.emit, watch)
    found = cases.evaluate("unet", "sdp", emitted, seed=1)
    assert verdicts(found) == {"V1": "INCONCLUSIVE", "sdp@again": "SAME"}
    assert (found.cases[0].issue_bound, found.cases[0].max_abs) == (0, 0.5)


def test_times_to_issue_are_marked_and_held_against_no_ceiling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each call waits for the GPU itself, so nothing can be issued ahead."""
    found = attn.evaluate(measured(monkeypatch, waits=True), seed=1).cases[0]
    assert found.issue_bound == len(found.samples_ns)
    assert found.reason == f"issue-bound in {found.issue_bound} rounds"
    assert (found.pct_floor, found.bound) == (None, "issue")


def test_on_a_cpu_nothing_is_issue_bound_and_the_peak_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = measured(monkeypatch, device="cpu", dtype="float32")
    found = attn.evaluate(records, seed=1).cases[0]
    assert (found.issue_bound, found.peak_bytes) == (None, 4_000)
    assert found.host_ns == found.samples_ns
    assert found.issue_ns is None
    assert found.bytes == SHAPE.least_bytes(4) == 2 * SHAPE.least_bytes(2)
