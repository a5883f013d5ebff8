"""Rounds of several cases on a clock that the cases themselves move."""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import pytest

from scripts.bench.probe import schedule
from scripts.bench.probe.nvml import Reading, Watch
from scripts.bench.probe.samples import Failed, Sample
from scripts.bench.probe.schedule import Schedule

SECOND = 10**9


class Clock:
    """Stands for the time module: a case takes as long as it says."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def take(self, seconds: float) -> Sample:
        self.now += seconds
        return Sample(int(seconds * SECOND), 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(schedule, "time", made)
    return made


def run(
    clock: Clock, seconds: Mapping[str, float], due: float, latest: float, least: int = 6
) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []

    def emit(record: str, fields: Mapping[str, Any]) -> None:
        records.append({"record": record, **fields})

    cases = {name: partial(clock.take, taken) for name, taken in seconds.items()}
    plan = Schedule(seed=1, least_rounds=least, due=100 + due, latest=100 + latest)
    schedule.run(cases, "sdp", "n64", plan, emit)
    return records


THREE = {"sdp": 1.0, "V1": 2.0, "sdp@again": 1.0}


def test_what_passes_outside_the_calls_is_told_as_a_share(clock: Clock) -> None:
    """A round's calls take 4 s, and to write its record takes another."""
    ends: list[Mapping[str, Any]] = []

    def emit(record: str, fields: Mapping[str, Any]) -> None:
        if record == "round":
            clock.now += 1
        else:
            ends.append(fields)

    cases = {name: partial(clock.take, taken) for name, taken in THREE.items()}
    schedule.run(cases, "sdp", "n64", Schedule(1, 6, due=200, latest=200), emit)
    assert ends[0]["outside_share"] == pytest.approx(0.2)


def test_a_gpu_that_was_held_was_not_outside_the_calls(clock: Clock) -> None:
    """Of each sample's 4 s the GPU was held for one, and another is the harness's own."""
    ends: list[Mapping[str, Any]] = []

    def emit(record: str, fields: Mapping[str, Any]) -> None:
        if record == "shape_end":
            ends.append(fields)

    def held() -> Sample:
        clock.now += 4
        return Sample(2 * SECOND, 1, False, held_ns=SECOND)

    schedule.run({"sdp": held}, "sdp", "n64", Schedule(1, 6, due=200, latest=200), emit)
    assert (ends[0]["outside_share"], ends[0]["held_share"]) == (0.25, 0.25)


class HotWatch:
    """Stands for a GPU whose driver counts a slowdown by heat in every second round."""

    def __init__(self) -> None:
        self.looks = 0

    def read(self) -> Reading:
        self.looks += 1
        return Reading({"hw_thermal_slowdown_ns": 5 * (self.looks // 4)})

    def sm_mhz(self) -> int:
        return 1980


def test_rounds_of_a_slowed_gpu_do_not_count_and_are_made_up_for(clock: Clock) -> None:
    records: list[tuple[str, Mapping[str, Any]]] = []
    cases = {name: partial(clock.take, taken) for name, taken in THREE.items()}
    plan = Schedule(1, 6, due=1000, latest=1000)
    watch = cast(Watch, HotWatch())
    schedule.run(cases, "sdp", "n64", plan, lambda *record: records.append(record), watch)
    reasons = [fields["discarded"] for record, fields in records if record == "round"]
    assert reasons[:2] == [None, "hw thermal slowdown"]
    assert reasons.count(None) == records[-1][1]["rounds"] == 6


def test_rounds_end_when_all_ratios_are_known_and_enough_were_run(clock: Clock) -> None:
    *rounds, end = run(clock, THREE, due=1000, latest=1000)
    assert len(rounds) == 6
    assert end["reasons"] == {"sdp": None, "V1": None, "sdp@again": None}


def test_every_round_times_every_case_once_and_keeps_the_order(clock: Clock) -> None:
    *rounds, _ = run(clock, THREE, due=1000, latest=1000)
    for each in rounds:
        assert sorted(each["order"]) == sorted(THREE)
        assert each["samples_ns"]["V1"] == 2 * SECOND
        assert each["host_ns"] == dict.fromkeys(each["order"], 1)
    assert len({tuple(each["order"]) for each in rounds}) > 1


def test_the_least_rounds_may_go_past_what_is_due_but_not_past_the_latest(clock: Clock) -> None:
    """Four seconds a round."""
    *rounds, _ = run(clock, THREE, due=8, latest=100)
    assert len(rounds) == 6
    clock.now = 100.0
    *rounds, end = run(clock, THREE, due=8, latest=18)
    assert len(rounds) == 4
    assert end["reasons"]["V1"] == "noisy: 4 of 6 rounds in the budget"


def test_one_round_is_run_however_late_it_is(clock: Clock) -> None:
    *rounds, _ = run(clock, THREE, due=-50, latest=-50)
    assert len(rounds) == 1


def test_noise_is_followed_until_it_is_due(clock: Clock) -> None:
    """The ratio of V1 goes up and down: it is never known to half a percent."""
    counts = {"V1": 0}

    def wobble() -> Sample:
        counts["V1"] += 1
        return clock.take(2.0 + counts["V1"] % 5 / 10)

    plan = Schedule(seed=1, least_rounds=6, due=150, latest=200)
    records: list[tuple[str, Any]] = []
    schedule.run(
        {"sdp": partial(clock.take, 1.0), "V1": wobble},
        "sdp",
        "n64",
        plan,
        lambda record, fields: records.append((record, fields)),
    )
    assert clock.now <= 150
    assert counts["V1"] >= 6
    assert str(records[-1][1]["reasons"]["V1"]).startswith("noisy: ratio known to")


def test_a_case_that_fails_ends_and_the_others_go_on(clock: Clock) -> None:
    """V1 runs out of memory in the third round."""
    left = [2.0, 2.0]

    def v1() -> Sample | Failed:
        if not left:
            return Failed("oom", "out of memory")
        return clock.take(left.pop())

    records: list[dict[str, Any]] = []

    def emit(record: str, fields: Mapping[str, Any]) -> None:
        records.append({"record": record, **fields})

    cases: dict[str, schedule.Take] = dict.fromkeys(THREE, partial(clock.take, 1.0))
    cases["V1"] = v1
    schedule.run(cases, "sdp", "n64", Schedule(1, 6, due=1000, latest=1000), emit)
    (ended,) = [each for each in records if each["record"] == "case_end"]
    assert ended == {
        **{"record": "case_end", "shape": "n64", "backend": "V1"},
        **{"status": "oom", "reason": "out of memory"},
    }
    rounds = [each for each in records if each["record"] == "round"]
    assert ["V1" in each["order"] for each in rounds] == [True, True, *[False] * 4]
    assert records[-1]["reasons"] == {"sdp": None, "sdp@again": None}


def test_where_every_case_fails_the_shape_ends(clock: Clock) -> None:
    records: list[str] = []
    schedule.run(
        {"sdp": lambda: Failed("oom", "out of memory")},
        "sdp",
        "n64",
        Schedule(1, 6, due=1000, latest=1000),
        lambda record, _: records.append(record),
    )
    assert records == ["case_end", "round", "shape_end"]
