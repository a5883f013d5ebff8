"""A run's table: its columns, and its closing lines."""

import io

from rich.console import Console

from scripts.bench import schema, table
from tests.support.results import case_of, run_of


def shown(*cases: schema.Case) -> str:
    out = io.StringIO()
    table.show(run_of(cases), Console(file=out, width=200))
    return out.getvalue()


def test_the_harnesss_own_time_is_told_as_median_and_most_of_the_shapes() -> None:
    cases = [
        case_of(f"attn/{name}/float16/{backend}", 5, shape={"name": name, "outside_share": share})
        for name, share in (("a", 0.001), ("b", 0.013), ("c", 0.004))
        for backend in ("sdp", "V1")
    ]
    line = "Of the rounds' time 0.4% was outside the measured calls (at most 1.3%)."
    assert line in shown(*cases)


def test_a_run_that_did_not_count_it_says_nothing_of_it() -> None:
    assert "outside the measured calls" not in shown(case_of("attn/a/float16/sdp", 5))


def test_the_time_to_issue_has_a_column_where_it_is_not_the_time() -> None:
    """On a GPU; on a CPU both are one."""
    on_gpu = case_of(
        "attn/a/float16/sdp",
        *(5_000, 5_000),
        host_ns=(15_000, 15_200),
        issue_bound=1,
        reason="issue-bound in 1 rounds; noisy: ratio known to ±3%",
    )
    lines = shown(on_gpu, case_of("attn/a/float16/xformers")).splitlines()
    assert "issue us" in lines[2]
    (row,) = [line for line in lines if line.split()[:1] == ["sdp"]]
    assert " 15.1 " in row
    assert row.rstrip().endswith("issue-bound in 1 rounds; noisy")
    on_cpu = case_of("attn/a/float16/sdp", 5_000, 5_100, host_ns=(5_000, 5_100))
    assert "issue us" not in shown(on_cpu)
