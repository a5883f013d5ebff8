"""The closing lines of a run's table."""

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
