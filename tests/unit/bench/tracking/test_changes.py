"""Change points of the history: of which series, by how much, and what differs there.

Where the points are is Otava's word, and tests/registry/test_history.py has it; here they are
given.
"""

import io
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.bench import schema
from scripts.bench.tracking import changes, detection, record, table
from scripts.bench.tracking.changes import Detect, series
from scripts.bench.tracking.detection import LEAST_AFTER, LEAST_POINTS, Point
from tests.support.histories import NEW, OLD, SDP, V1, Checkout, digest, lock_texts, timed_run
from tests.support.results import case_of

UNET = "unet/x/float32/sdp"


def found_at(*indices: int) -> Detect:
    """A detector that finds points at these indices of every series."""

    def detect(given: Mapping[str, Sequence[float]]) -> dict[str, list[Point]]:
        return {name: [Point(index, 1.23456e-9) for index in indices] for name in given}

    return detect


def test_a_series_is_the_medians_of_a_case_in_the_order_of_time() -> None:
    days = [timed_run(day) for day in (2, 0, 1)]
    found = {each.case: each for each in series(days)}
    assert set(found) == {SDP, V1}
    ordered = [days[1], days[2], days[0]]
    assert found[SDP].runs == tuple(ordered)
    assert found[SDP].medians_ns == tuple(
        statistics.median(run.cases[0].samples_ns) for run in ordered
    )


def test_a_run_that_did_not_time_a_case_is_no_point_of_it() -> None:
    lost = timed_run(1).model_copy(update={"cases": (timed_run(1).cases[0], case_of(V1))})
    found = {each.case: len(each.runs) for each in series([timed_run(0), lost, timed_run(2)])}
    assert found == {SDP: 3, V1: 2}


def test_machines_and_places_that_cannot_be_compared_have_series_of_their_own() -> None:
    gpu = schema.Gpu(
        name="H100",
        capability="9.0",
        uuid_hash=None,
        driver="550.54",
        power_limit="700 W",
        clocks_max=None,
        mig="Disabled",
    )
    host = timed_run().host
    runs = [
        timed_run(0, {SDP: 1}, gpu=gpu),
        timed_run(1, {SDP: 1}, gpu=gpu.model_copy(update={"driver": "580.1"})),
        timed_run(2, {SDP: 1}, gpu=gpu.model_copy(update={"power_limit": "350 W"})),
        timed_run(3, {SDP: 1}, gpu=gpu.model_copy(update={"mig": "Enabled"})),
        timed_run(4, {SDP: 1}, gpu=gpu, host=host.model_copy(update={"cpu": "other"})),
        timed_run(5, {SDP: 1}, gpu=gpu, ran_in="host"),
        timed_run(6, {SDP: 1, f"{SDP}@again": 1}, gpu=gpu),
    ]
    assert sorted([run.run_id for run in each.runs] for each in series(runs)) == [
        ["run-00", "run-01", "run-06"],
        ["run-02"],
        ["run-03"],
        ["run-04"],
        ["run-05"],
    ]


def test_a_change_has_the_ratio_of_its_two_levels_and_the_lock_diff(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "repository")
    checkout.lock(lock_texts(OLD))
    checkout.lock(lock_texts(NEW))
    runs = [
        timed_run(
            day,
            {SDP: 10 if day < 4 else 12 if day < 9 else 6},
            torch := OLD if day < 4 else NEW,
            lock_sha256=digest(lock_texts(torch)),
        )
        for day in range(14)
    ]
    first, second = changes.changes(series(runs), checkout.root, found_at(4, 9))
    assert (first.case, first.measure) == (SDP, "time")
    assert (first.before, first.after) == ("run-03", "run-04")
    assert (second.before, second.after) == ("run-08", "run-09")
    for change, ratio in ((first, 1.2), (second, 0.5)):
        assert abs(change.ratio / ratio - 1) < 0.02
        assert change.p == 1.23e-9
    assert first.because == (f"torch {OLD} -> {NEW}",)
    assert second.because == ()


def test_changes_are_rendered_the_same_whatever_the_order_of_the_runs(tmp_path: Path) -> None:
    runs = [timed_run(day, {UNET: 9, V1: 3, SDP: 1}) for day in range(12)]
    texts = {
        changes.text(changes.changes(series(each), tmp_path, found_at(6)))
        for each in (runs, runs[::-1])
    }
    (text,) = texts
    content = json.loads(text)
    assert content["schema"] == 1
    assert [each["case"] for each in content["changes"]] == sorted([UNET, V1, SDP])
    assert set(content["changes"][0]) == {
        "case",
        "measure",
        "before",
        "after",
        "ratio",
        "p",
        "because",
    }


def test_few_runs_have_no_changes_and_otava_is_not_installed_for_them(tmp_path: Path) -> None:
    """The environment would be made, from a registry that a unit test does not ask."""
    few = [timed_run(day) for day in range(LEAST_POINTS - 1)]
    for run in few:
        device, _ = record.record(run, tmp_path)
    assert record.rewrite_changes(device, tmp_path) == [device.changes]
    assert json.loads(device.changes.read_text()) == {"schema": 1, "changes": []}
    assert record.rewrite_changes(device, tmp_path) == []


def test_a_change_without_enough_runs_after_it_or_a_weak_one_is_not_told() -> None:
    last = 20 - LEAST_AFTER
    answer = {"a": [(5, 1e-9), (last, 1e-9), (last + 1, 1e-9)], "b": [(5, 0.01)]}
    found = detection.told(answer, {"a": [1.0] * 20, "b": [1.0] * 20})
    assert found == {"a": [Point(5, 1e-9), Point(last, 1e-9)], "b": []}


def test_the_history_names_each_change_and_what_differs_there(tmp_path: Path) -> None:
    runs = [timed_run(day) for day in range(12)]
    made = series(runs)
    found = [
        changes.Change(SDP, "time", "run-05", "run-06", 1.05, 1e-6, ("torch 2.1.2 -> 2.8.0",)),
        changes.Change(V1, "time", "run-05", "run-06", 0.9, 1e-6, ()),
    ]
    said = list(table.lines(made, found))
    assert said == [
        f"{SDP} takes 1.050 times as long since run-06 (p 1e-06): torch 2.1.2 -> 2.8.0",
        f"{V1} takes 0.900 times as long since run-06 (p 1e-06): "
        "nothing that the runs tell of differs: the machine",
    ]
    (line,) = table.lines(series(runs[:2]), [])
    assert f"from {LEAST_POINTS} runs" in line


def printed(*runs: schema.Run) -> str:
    out = io.StringIO()
    table.show(series(runs), [], Console(file=out, width=200))
    return out.getvalue()


def test_one_run_is_no_history_and_is_told_in_a_line() -> None:
    text = printed(timed_run(0, {SDP: 10, V1: 30, UNET: 200}))
    assert "One run is no history: 2 of attn, 1 of unet were timed in one run alone" in text
    assert not set(table.BARS) & set(text)
    assert len(text.splitlines()) == 2


def test_a_case_of_two_runs_has_its_line_and_those_of_one_run_are_counted() -> None:
    text = printed(timed_run(0, {SDP: 10, V1: 30}), timed_run(1, {SDP: 10}))
    assert SDP in text
    assert V1 not in text
    assert "1 of attn were timed in one run alone" in text
    assert "One run is no history" not in printed(timed_run(0), timed_run(1))


@given(st.lists(st.floats(1, 1e12), min_size=1, max_size=60))
def test_a_trend_has_a_bar_for_each_run_and_higher_ones_for_longer_times(
    times: list[float],
) -> None:
    bars = table.trend(times)
    heights = [table.BARS.index(bar) for bar in bars]
    assert len(bars) == len(times)
    assert heights[times.index(min(times))] == 0
    pairs = [(a, b) for a in range(len(times)) for b in range(len(times)) if times[a] <= times[b]]
    assert all(heights[a] <= heights[b] for a, b in pairs)
