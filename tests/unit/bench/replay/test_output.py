"""The replay's files and tables: the same results give the same bytes, and say the same."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.bench.replay import groupings, output, plot
from scripts.bench.replay.evaluate import BUDGET, Package, Pull, Trial, evaluate
from scripts.bench.replay.history import History, Locked
from scripts.bench.replay.pulls import Key, Snapshot, Wheel

SIZES = st.integers(0, 10**12)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)
PULLS = st.builds(Pull, st.dates(), NAMES, NAMES, st.integers(1, 300), SIZES)


@given(rows=st.lists(PULLS, max_size=5))
def test_a_csv_file_holds_what_was_written(rows: list[Pull]) -> None:
    text = output.csv_text(Pull, rows)
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert found == [{name: str(value) for name, value in asdict(row).items()} for row in rows]


def test_a_csv_file_of_nothing_names_its_columns() -> None:
    assert output.csv_text(Trial, []) == (
        "without,environment,pool,budget,chosen_on,judged_on,pulled_bytes\n"
    )


LOOSE = "nvidia-nvjitlink-cu12"
DAYS = [date(2026, month, 28) for month in range(1, 7)]


def wheel(name: str, version: int, size: int) -> Wheel:
    return Wheel(str(version), f"{name}-{version}.whl", size)


def snapshot(month: int) -> Snapshot:
    """Return six months in which something moves always, at first, at last, or never."""
    moving = {"llvmlite": 60_000_000, "narwhals": 400_000, LOOSE: 20_000_000}
    still = {"torch": 670_000_000, "nvidia-cudnn-cu12": 730_000_000, "numpy": 18_000_000}
    return {
        **{Key("webui", name): wheel(name, month, size) for name, size in moving.items()},
        **{Key("webui", name): wheel(name, 1, size) for name, size in still.items()},
        Key("webui", "scipy"): wheel("scipy", max(month, 3), 40_000_000),
        Key("webui", "opencv-python"): wheel("opencv-python", min(month, 2), 60_000_000),
        Key("worker", "runpod"): wheel("runpod", min(month, 4), 350_000),
    }


def history(snapshots: Sequence[Snapshot]) -> History:
    locks = [
        Locked(
            target=f"{environment}-py3.10",
            day=day,
            without=(),
            lifted=("runpod>=9",) if environment == "worker" else (),
            packages={
                key.package: wheel for key, wheel in each.items() if key.environment == environment
            },
        )
        for day, each in zip(DAYS, snapshots, strict=True)
        for environment in ("webui", "worker")
    ]
    return History(DAYS, snapshots, locks, [])


FOUND = history([snapshot(month) for month in range(6)])
LAYERS = {
    **groupings.STACK,
    "py-large": ("numpy", "opencv-python"),
    "py-moving": ("llvmlite", "scipy"),
    **groupings.ALL,
}
EVALUATED = evaluate(FOUND, "", LAYERS, {"numpy", "torch"})


def totals() -> dict[str, int]:
    return {
        name: sum(row.pulled_bytes for row in rows)
        for name, rows in output.by_grouping(EVALUATED.pulls).items()
    }


def test_every_grouping_has_a_row_for_each_bump() -> None:
    for rows in output.by_grouping(EVALUATED.pulls).values():
        assert [row.month for row in rows] == DAYS[1:]


def test_no_grouping_pulls_less_than_the_limit_or_more_than_one_layer() -> None:
    found = totals()
    moved = 5 * (60_000_000 + 400_000 + 20_000_000) + 2 * (40_000_000 + 60_000_000) + 4 * 350_000
    assert found[groupings.LIMIT] == moved
    assert min(found.values()) == found[groupings.LIMIT]
    assert max(found.values()) == found[groupings.ONE_LAYER]


def test_a_worker_built_on_the_web_ui_is_pulled_with_it() -> None:
    # The SDK does not move in the last bump, the web UI does.
    found = totals()
    assert found[groupings.STACKED] - found[groupings.PER_ENVIRONMENT] == 350_000


def test_a_half_held_out_has_the_layers_that_the_other_half_chose() -> None:
    rows = output.by_grouping(EVALUATED.pulls)[groupings.HELD_OUT]
    for chosen_on, judged_on, bumps in (
        ("second", "first", rows[:2]),
        ("first", "second", rows[2:]),
    ):
        [trial] = [
            each
            for each in EVALUATED.trials
            if (each.environment, each.pool, each.budget) == ("webui", "not pinned", BUDGET)
            and (each.chosen_on, each.judged_on) == (chosen_on, judged_on)
        ]
        worker = 350_000 * sum(row.month < DAYS[-1] for row in bumps)
        assert sum(row.pulled_bytes for row in bumps) == trial.pulled_bytes + worker


def test_the_package_that_makes_cuda_stale_is_worth_a_layer_of_its_own() -> None:
    found = totals()
    for name in (groupings.OURS, groupings.FOUR):
        assert found[name] - found[f"{name}, nvjitlink apart"] == 5 * 730_000_000


def test_large_packages_that_stand_still_are_worth_a_layer_of_their_own() -> None:
    found = totals()
    # The two of 78 MB are pulled in two bumps of five, and among the others in all of them.
    assert found[groupings.FOUR] - found[groupings.OURS] == 3 * 78_000_000


def test_it_is_no_question_where_it_is_pinned() -> None:
    pinned = evaluate(FOUND, "", LAYERS, {"numpy", "torch", LOOSE})
    assert not any("nvjitlink" in row.grouping for row in pinned.pulls)


def test_the_optimizer_chosen_on_a_half_is_never_better_there_than_elsewhere_chosen() -> None:
    for row in EVALUATED.trials:
        if row.chosen_on != row.judged_on:
            [own] = [
                each
                for each in EVALUATED.trials
                if (each.environment, each.pool, each.budget)
                == (row.environment, row.pool, row.budget)
                and each.chosen_on == each.judged_on == row.judged_on
            ]
            assert own.pulled_bytes <= row.pulled_bytes


def test_a_package_tells_how_often_it_moved_and_which_layer_it_has() -> None:
    found = {(each.environment, each.package): each for each in EVALUATED.packages}
    assert found["webui", "llvmlite"] == Package(
        without="",
        environment="webui",
        package="llvmlite",
        moves=5,
        moved_bytes=300_000_000,
        first_bytes=60_000_000,
        last_bytes=60_000_000,
        pinned=False,
        ours="py-moving",
        optimizer=found["webui", "llvmlite"].optimizer,
    )
    assert found["webui", "numpy"].pinned
    assert found["worker", "runpod"].ours == "py-worker"


def test_the_same_results_give_the_same_files() -> None:
    once = output.files({"": FOUND}, {"": EVALUATED}, "title")
    again = output.files({"": FOUND}, {"": EVALUATED}, "title")
    assert once == again
    assert sorted(once) == ["locks.csv", "optimizer.csv", "packages.csv", "pulls.csv", "pulls.png"]
    assert once["pulls.png"].startswith(b"\x89PNG")
    assert b"tEXt" not in once["pulls.png"]  # where matplotlib would name itself
    assert b"2026-02-28,worker-py3.10,,1,350000,runpod>=9\n" in once["locks.csv"]


def test_the_table_says_what_each_half_came_to() -> None:
    to = Console(width=160, file=io.StringIO(), force_terminal=False)
    to.print(output.table(EVALUATED.pulls, "title"))
    assert isinstance(to.file, io.StringIO)
    [line] = [row for row in to.file.getvalue().splitlines() if groupings.LIMIT in row]
    # Of five bumps, two are the first half.
    assert line.split()[2:] == ["9", "603", "121", "282", "322"]


def test_groupings_of_the_same_bytes_are_one_line_of_the_chart() -> None:
    first = plot.lines(EVALUATED.pulls)[0]
    assert first.label.replace("\n", " ") == ("one layer = worker-a1111's order")
    assert first.values[-1] == totals()[groupings.ONE_LAYER] / 1e6


def test_the_chart_tells_the_past_from_the_one_without_a_requirement() -> None:
    still = {Key("webui", LOOSE): wheel(LOOSE, 1, 20_000_000)}
    held = history([{**snapshot(month), **still} for month in range(6)])
    now = evaluate(held, "", LAYERS, {"numpy", "torch", LOOSE})
    without = evaluate(FOUND, LOOSE, LAYERS, {"numpy", "torch"})
    found = {line.label: line.values[-1] for line in plot.lines([*now.pulls, *without.pulls])}
    for name in (groupings.OURS, groupings.FOUR):
        assert round(found[f"{name}, without it"] - found[name]) == 5 * (730 + 20)
    assert groupings.OPTIMIZED in " ".join(found)
    assert f"{groupings.OPTIMIZED}, without it" not in " ".join(found)


def test_every_line_that_may_be_drawn_has_a_style_of_its_own() -> None:
    assert len(plot.DRAWN) + len(plot.WITHOUT) <= len(set(plot.STYLES)) == len(plot.STYLES)


@given(values=st.lists(st.floats(1, 1e6), min_size=1, max_size=8))
def test_labels_stand_apart_and_never_below_their_lines(values: list[float]) -> None:
    falling = sorted(values, reverse=True)
    places = plot.spread(falling)
    assert all(place >= value for place, value in zip(places, falling, strict=True))
    assert all(a >= b * plot.APART for a, b in pairwise(places))
