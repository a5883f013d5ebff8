"""The CSV for Otava: a series of one device, without an invented cell.

Otava itself reads it in tests/registry/test_otava.py.
"""

import csv

import pytest
from hypothesis import given

from scripts.bench import stats
from scripts.bench.exports import otava
from scripts.bench.schema import Host, Run
from scripts.workspace.errors import BadInput
from tests.support.results import case_of, run_of, runs


def table(text: str) -> list[dict[str, str]]:
    head, *rows = csv.reader(text.splitlines(keepends=True))
    assert len(set(head)) == len(head)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_runs_are_rows_in_the_order_of_time_and_common_cases_are_columns() -> None:
    late = run_of(
        (case_of("attn/x/sdp", 300), case_of("attn/x/new", 7)),
        run_id="late",
        utc="2026-02-01T00:00:00Z",
    )
    early = run_of((case_of("attn/x/sdp", 100, 200), case_of("attn/x/gone", 5)), run_id="early")
    failed = run_of((case_of("attn/x/sdp", 400), case_of("attn/x/gone")), run_id="failed")
    rows = table(otava.text([late, early, failed]))
    assert [row["run_id"] for row in rows] == ["early", "failed", "late"]
    assert [row["attn/x/sdp ns"] for row in rows] == ["150.0", "400.0", "300.0"]
    assert list(rows[0]) == [*otava.ATTRIBUTES, "attn/x/sdp ns"]
    assert otava.left_out([late, early, failed]) == ["attn/x/new", "attn/x/gone"]


@given(runs())
def test_any_run_gives_its_medians_back(run: Run) -> None:
    (row,) = table(otava.text([run]))
    assert row["time"] == run.utc
    figures = {name: float(value) for name, value in row.items() if name.endswith(" ns")}
    assert figures == {
        f"{case.id} ns": stats.median(case.samples_ns).value
        for case in run.cases
        if case.status == "ok"
    }


def test_runs_of_two_devices_are_no_series() -> None:
    other = Host(cpu="another CPU", cores=2, governor=None, kernel="6.1", cgroup=None)
    with pytest.raises(BadInput, match="are of 2 devices: a CPU, 2 cores; another CPU, 2 cores"):
        otava.text([run_of(run_id="a"), run_of(run_id="b", host=other)])


def test_a_run_that_is_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="given twice"):
        otava.text([run_of(), run_of()])
