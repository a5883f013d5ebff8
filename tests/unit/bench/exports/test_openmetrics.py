"""OpenMetrics: read by Prometheus's own parsers of this format and of the older one."""

from datetime import datetime, timezone

import pytest
from hypothesis import given
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from scripts.bench import stats
from scripts.bench.exports import openmetrics
from scripts.bench.schema import Comparison, Run
from tests.support.results import case_of, run_of, runs


def families(run: Run) -> dict[str, Metric]:
    parsed = openmetrics_parser.text_string_to_metric_families(openmetrics.text(run))
    return {family.name.removeprefix("sdkiln_bench_"): family for family in parsed}


def values(family: Metric | None) -> dict[str, float]:
    """A family's values by case."""
    samples = family.samples if family else []
    assert len({sample.labels["case"] for sample in samples}) == len(samples)
    return {sample.labels["case"]: sample.value for sample in samples}


@given(runs())
def test_any_run_is_parsed_and_gives_its_figures_back(run: Run) -> None:
    found = families(run)
    ok = {case.id: case for case in run.cases if case.status == "ok"}
    medians = {name: stats.median(case.samples_ns).value / 1e9 for name, case in ok.items()}
    assert values(found.get("time_seconds")) == medians
    assert values(found.get("samples")) == {n: len(case.samples_ns) for n, case in ok.items()}
    assert values(found.get("peak_memory_bytes")) == {
        # A reader has doubles, which hold no whole number beyond 2^53.
        name: float(case.peak_bytes)
        for name, case in ok.items()
        if case.peak_bytes is not None
    }
    assert values(found.get("time_ratio")) == {each.b: each.ratio for each in run.compare}
    several = {name for name, case in ok.items() if len(case.samples_ns) > 1}
    for end in ("low", "high"):
        assert values(found.get(f"time_{end}_seconds")).keys() == several


@given(runs())
def test_the_older_format_reads_the_same_samples(run: Run) -> None:
    text = openmetrics.text(run)
    newer = openmetrics_parser.text_string_to_metric_families(text)
    older = text_string_to_metric_families(text)
    assert [family.samples for family in older] == [family.samples for family in newer]


@given(runs())
def test_labels_come_back_as_they_were(run: Run) -> None:
    (sample,) = families(run)["run_timestamp_seconds"].samples
    assert sample.labels["run_id"] == run.run_id
    assert sample.labels["torch"] == run.sw.torch
    moment = datetime.strptime(run.utc, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    assert sample.value == moment.timestamp()


def test_every_unit_is_the_end_of_its_familys_name() -> None:
    a, b = case_of("attn/x/a", 1, 2, peak_bytes=3), case_of("attn/x/b", 3, 4)
    ratio = Comparison(a=a.id, b=b.id, ratio=2.5, ci=(2, 3), p=0.1, q=0.1, verdict="SLOWER")
    found = families(run_of((a, b), (ratio,)))
    assert {name: family.unit for name, family in found.items()} == {
        "run_timestamp_seconds": "seconds",
        **dict.fromkeys(("time_seconds", "time_low_seconds", "time_high_seconds"), "seconds"),
        "samples": "",
        "peak_memory_bytes": "bytes",
        **dict.fromkeys(("time_ratio", "time_low_ratio", "time_high_ratio"), "ratio"),
    }
    assert {family.type for family in found.values()} == {"gauge"}


def test_an_interval_without_end_is_left_out() -> None:
    a, b = case_of("attn/x/a", 1), case_of("attn/x/b", 3)
    ratio = Comparison(
        a=a.id, b=b.id, ratio=3.0, ci=(0.0, float("inf")), p=1, q=1, verdict="INCONCLUSIVE"
    )
    found = families(run_of((a, b), (ratio,)))
    assert "time_low_ratio" not in found
    assert values(found["time_ratio"]) == {"attn/x/b": pytest.approx(3.0)}
