"""Rows of the extension System Info: eleven columns, read as the community's page reads them."""

from typing import Any

import pytest
from hypothesis import given

from scripts.bench import stats
from scripts.bench.exports import system_info
from scripts.bench.exports.figures import steps_of
from scripts.bench.schema import Case, Gpu, Run, Software
from tests.support.results import case_of, run_of, runs

H100 = Gpu(
    name="NVIDIA H100",
    capability="9.0",
    uuid_hash=None,
    driver="550.54",
    power_limit=None,
    clocks_max=None,
    mig=None,
)
SOFTWARE = Software(torch="2.8.0", cuda="12.8", cudnn="91002", xformers="0.0.32", python="3.11.7")


def picture(backend: str, batch: int, *samples_ns: int, side: int = 512, **changes: Any) -> Case:
    shape = {"name": "p", "width": side, "height": side, "steps": 20, "batch": batch}
    name = f"image/{side}-b{batch}/{backend}"
    requested = backend.removesuffix("@again")
    return case_of(name, *samples_ns, suite="image", shape=shape, requested=requested, **changes)


def rows(run: Run) -> list[dict[str, str]]:
    """The columns of each row by the names of the head."""
    head, line, *rest = system_info.text(run).splitlines()
    columns = [[cell.strip() for cell in each[2:-2].split(" | ")] for each in (head, *rest)]
    assert set(line) == set("| -")
    assert columns[0] == [
        *("timestamp", "performance", "version", "system", "libraries", "gpu", "optimizations"),
        *("model", "username", "note", "hash"),
    ]
    return [dict(zip(columns[0], each, strict=True)) for each in columns[1:]]


def test_a_row_for_each_optimization_with_a_place_for_each_batch() -> None:
    cases = (
        picture("sdp", 1, 400_000_000, 500_000_000, 600_000_000),
        picture("sdp", 2, 800_000_000),
        picture("sdp", 4, 1_000_000_000),
        picture("sdp@again", 1, 400_000_000),
        picture("xformers", 1, 250_000_000),
    )
    found = rows(run_of(cases, gpu=H100, sw=SOFTWARE))
    assert [(row["optimizations"], row["performance"]) for row in found] == [
        ("sdp", "40.0 / 50.0 / 80.0"),
        ("xformers", "80.0"),
    ]
    assert found[0]["libraries"] == "torch:2.8.0 xformers:0.0.32"
    assert found[0]["gpu"] == "device:NVIDIA H100 (9.0) cuda:12.8 cudnn:91002 driver:550.54"
    assert found[0]["timestamp"] == "2026-01-02 03:04:05"
    assert (found[0]["model"], found[0]["username"]) == ("", "")
    assert found[0]["note"].startswith("512x512 in 20 steps")
    assert len({row["hash"] for row in found}) == 2


def test_a_batch_without_result_is_an_error_and_never_a_number() -> None:
    cases = (picture("sdp", 1, 10**9), picture("sdp", 8), picture("sdp", 4, 10**9, status="oom"))
    (row,) = rows(run_of(cases))
    assert row["performance"] == "20.0 / error / error / error"


def test_other_sizes_stand_in_rows_of_their_own() -> None:
    found = rows(run_of((picture("sdp", 1, 10**9), picture("sdp", 1, 10**8, side=64))))
    assert [row["note"].split(",")[0] for row in found] == [
        "512x512 in 20 steps",
        "64x64 in 20 steps",
    ]


def test_a_run_without_pictures_has_no_row() -> None:
    assert rows(run_of((case_of("attn/x/sdp", 5),))) == []


@given(runs())
def test_any_run_gives_rows_of_eleven_columns_with_its_figures(run: Run) -> None:
    found = rows(run)
    pictures = [case for case in run.cases if case.suite == "image"]
    assert len(found) <= len(pictures)
    speeds = {
        round(steps * 1e9 / stats.median(case.samples_ns).value, 2)
        for case in pictures
        if case.status == "ok" and (steps := steps_of(case)) is not None
    }
    for row in found:
        for place in row["performance"].split(" / "):
            assert place == "error" or float(place) in speeds


@pytest.mark.parametrize("mark", ["|", '"', "\n", "  "])
def test_what_the_extension_splits_at_or_takes_out_is_in_no_column(mark: str) -> None:
    gpu = H100.model_copy(update={"name": f"a{mark}b"})
    (row,) = rows(run_of((picture("sdp", 1, 10**9),), gpu=gpu))
    assert mark not in "".join(row.values())
