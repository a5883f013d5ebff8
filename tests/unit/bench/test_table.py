"""A run's table: its columns, and its closing lines."""

import io

import pytest
from rich.console import Console

from scripts.bench import schema, table
from scripts.bench.exports.figures import figures, iterations_per_s
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


def test_iterations_are_of_the_time_that_one_waits_for_them() -> None:
    """A step that takes the GPU 40 ms and 50 to issue comes 20 times a second."""
    shape = {"name": "sd15-512", "batch": 8}
    times = {"host_ns": (50_000_000, 50_000_000), "suite": "unet", "shape": shape}
    slow = case_of("unet/a/float16/sdp", 40_000_000, 40_000_000, **times)
    (row,) = [line.split() for line in shown(slow).splitlines() if line.split()[:1] == ["sdp"]]
    assert "20.00" in row
    assert iterations_per_s(slow) == 20
    (found,) = figures(run_of((slow,)))
    assert found.time_ns.value == 40_000_000
    assert found.steps_per_s is not None
    assert found.steps_per_s.value == 4 * 20


@pytest.mark.parametrize(
    ("suite", "more", "per_s"),
    [("image", {"steps": 20}, 40.0), ("unet", {}, 2.0), ("vae", {}, 2.0), ("attn", {}, None)],
)
def test_an_iteration_is_of_the_whole_batch(
    suite: str, more: dict[str, int], per_s: float | None
) -> None:
    shape = {"name": "sd15-512", "batch": 4, **more}
    case = case_of(f"{suite}/a/sdp", 500_000_000, suite=suite, shape=shape)
    assert iterations_per_s(case) == per_s
