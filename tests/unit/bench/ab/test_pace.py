"""Rounds that are run when a line allows them."""

import io
from collections.abc import Mapping
from typing import Any

import pytest

from scripts.bench.probe import schedule
from scripts.bench.probe.paced import Pace
from scripts.bench.probe.samples import Sample
from scripts.bench.probe.schedule import Schedule


def run(monkeypatch: pytest.MonkeyPatch, told: str, records: list[dict[str, Any]]) -> list[str]:
    """Run two cases whose time is over from the start; the kinds of their records."""

    def emit(record: str, fields: Mapping[str, Any]) -> None:
        records.append({"record": record, **fields})

    monkeypatch.setattr("sys.stdin", io.StringIO(told))
    plan = Schedule(seed=1, least_rounds=6, due=0.0, latest=0.0, pace=Pace(emit))
    schedule.run(dict.fromkeys(("sdp", "V1"), lambda: Sample(5, 5)), "sdp", "n64", plan, emit)
    return [record["record"] for record in records]


@pytest.mark.parametrize("rounds", [0, 1, 9])
def test_there_are_as_many_rounds_as_are_allowed(
    monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    """Neither the time nor that all is known ends them before."""
    records: list[dict[str, Any]] = []
    kinds = run(monkeypatch, "go\n" * rounds + "end\n", records)
    assert kinds == ["waiting", "round"] * rounds + ["waiting", "shape_end"]
    assert records[-1]["rounds"] == rounds
    assert {each["for"] for each in records if each["record"] == "waiting"} == {"round"}


@pytest.mark.parametrize("told", ["go\n", "go\nhello\n"])
def test_a_run_that_nobody_paces_any_more_ends(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    records: list[dict[str, Any]] = []
    with pytest.raises(SystemExit, match="nobody paces this run"):
        run(monkeypatch, told, records)
    assert [record["record"] for record in records] == ["waiting", "round", "waiting"]
