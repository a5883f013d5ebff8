"""Bencher Metric Format: as published, and with the figures of the run."""

import json

import jsonschema
import pytest
from hypothesis import given

from scripts.bench import stats
from scripts.bench.exports import bencher
from scripts.bench.schema import Run
from tests.support.results import case_of, run_of, runs

# https://bencher.dev/docs/reference/bencher-metric-format/, with what its prose and its parser
# (bencher_valid/src/benchmark_name.rs) say of names, and nothing beyond the three values.
METRIC = {
    "type": "object",
    "properties": {name: {"type": "number"} for name in ("value", "lower_value", "upper_value")},
    "required": ["value"],
    "additionalProperties": False,
}
MEASURES = {
    "type": "object",
    "propertyNames": {"minLength": 1, "maxLength": 64},
    "additionalProperties": METRIC,
}
BMF = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "propertyNames": {"minLength": 1, "maxLength": 1024},
    "additionalProperties": MEASURES,
}


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@given(runs())
def test_any_run_follows_the_published_schema_and_gives_its_figures_back(run: Run) -> None:
    content = json.loads(bencher.text(run), parse_constant=refuse)
    jsonschema.validate(content, BMF)
    ok = {case.id: case for case in run.cases if case.status == "ok"}
    assert list(content) == list(ok)
    for name, measures in content.items():
        time = stats.median(ok[name].samples_ns)
        assert measures["latency"]["value"] == time.value
        if len(ok[name].samples_ns) > 1:
            assert measures["latency"]["lower_value"] == time.low
            assert measures["latency"]["upper_value"] == time.high
        else:
            assert list(measures["latency"]) == ["value"]
        assert measures.get("peak-memory", {}).get("value") == ok[name].peak_bytes


def test_pictures_have_a_throughput_in_steps_per_second() -> None:
    shape = {"name": "txt2img-512-20steps", "steps": 20, "batch": 2}
    case = case_of("image/x/sdp", 4_000_000_000, 4_000_000_000, suite="image", shape=shape)
    measures = json.loads(bencher.text(run_of((case,))))["image/x/sdp"]
    assert measures["throughput"] == {"value": 10.0, "lower_value": 10.0, "upper_value": 10.0}


@pytest.mark.parametrize(
    ("suite", "batch", "per_second"), [("unet", 2, 2.0), ("unet", 8, 8.0), ("vae", 1, 2.0)]
)
def test_networks_have_a_throughput_in_steps_and_decodes_per_second(
    suite: str, batch: int, per_second: float
) -> None:
    """Half a second a pass; a UNet's batch has two entries for each picture, for guidance."""
    shape = {"name": "sd15-512", "batch": batch}
    case = case_of("x", 500_000_000, suite=suite, shape=shape)
    measures = json.loads(bencher.text(run_of((case,))))["x"]
    assert measures["throughput"] == {"value": per_second}


def test_calls_of_attention_have_no_throughput() -> None:
    measures = json.loads(bencher.text(run_of((case_of("attn/x/sdp", 5),))))
    assert set(measures["attn/x/sdp"]) == {"latency"}
