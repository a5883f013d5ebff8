"""github-action-benchmark: arrays that its action takes, one for each direction."""

import json
import re

import jsonschema
import pytest
from hypothesis import given

from scripts.bench import stats
from scripts.bench.exports import github
from scripts.bench.schema import Run
from tests.support.results import case_of, run_of, runs

# The interface BenchmarkResult in the action's src/extract.ts, which is what its custom tools read.
ENTRIES = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}
# src/extractRangeInfo.ts: from such a range the action takes the number, to convert its unit.
RANGE = re.compile(r"(\+-|±)\s*\d.+")


@given(runs())
def test_any_run_gives_entries_that_the_action_reads(run: Run) -> None:
    costs = json.loads(github.smaller(run))
    speeds = json.loads(github.bigger(run))
    for entries in (costs, speeds):
        jsonschema.validate(entries, ENTRIES)
        assert len({entry["name"] for entry in entries}) == len(entries)
    ok = {case.id: case for case in run.cases if case.status == "ok"}
    times = {entry["name"]: entry["value"] for entry in costs if entry["unit"] == "ms"}
    assert times == {
        name: pytest.approx(stats.median(case.samples_ns).value / 1e6) for name, case in ok.items()
    }
    assert {entry["name"] for entry in speeds} <= ok.keys()


def test_range_and_extra_tell_interval_samples_and_kernel() -> None:
    times = (1_000_000, 1_200_000, 1_500_000)
    (entry,) = json.loads(github.smaller(run_of((case_of("attn/x/sdp", *times),))))
    time = stats.median(times)
    assert entry["value"] == 1.2
    assert RANGE.fullmatch(entry["range"])
    wider = max(time.high - time.value, time.value - time.low) / 1e6
    assert float(entry["range"].removeprefix("± ")) == pytest.approx(wider, rel=1e-3)
    assert entry["extra"] == (
        f"95% interval: {time.low / 1e6:.6g} to {time.high / 1e6:.6g} ms\n"
        "samples: 3\nran: flash_attention"
    )


def test_pictures_are_bigger_is_better_and_memory_is_smaller_is_better() -> None:
    shape = {"name": "txt2img", "steps": 20, "batch": 1}
    case = case_of("image/x/sdp", 10**9, suite="image", shape=shape, peak_bytes=2_500_000)
    run = run_of((case,))
    assert [(e["name"], e["unit"], e["value"]) for e in json.loads(github.smaller(run))] == [
        ("image/x/sdp", "ms", 1000.0),
        ("image/x/sdp (peak memory)", "MB", 2.5),
    ]
    assert [(e["name"], e["unit"], e["value"]) for e in json.loads(github.bigger(run))] == [
        ("image/x/sdp", "steps/s", 20.0)
    ]
