"""The probe's rounds: their order, the end of warm-up, and the stop rule."""

import math
import random
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.bench.probe import rounds
from scripts.workspace.paths import ROOT

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=9, unique=True)


@settings(max_examples=40)
@given(names, st.integers(), st.text(max_size=8), st.integers(0, 200))
def test_a_round_runs_every_backend_once(
    backends: list[str], seed: int, key: str, index: int
) -> None:
    assert sorted(rounds.order(backends, seed, key, index)) == sorted(backends)


@settings(max_examples=40)
@given(names, st.integers(), st.text(max_size=8), st.integers(0, 200))
def test_the_seed_decides_the_order(backends: list[str], seed: int, key: str, index: int) -> None:
    first = rounds.order(backends, seed, key, index)
    assert rounds.order(list(backends), seed, key, index) == first


def test_orders_differ_between_rounds_shapes_and_seeds() -> None:
    backends = list("abcdefgh")
    orders = {
        tuple(rounds.order(backends, seed, key, index))
        for seed in (1, 2)
        for key in ("n4096", "n1024")
        for index in range(5)
    }
    assert len(orders) == 20


def test_every_backend_is_as_often_first_as_any_other() -> None:
    backends = list("abcd")
    firsts = [rounds.order(backends, 1, "shape", index)[0] for index in range(2000)]
    assert all(abs(firsts.count(name) - 500) < 100 for name in backends)


def test_warm_up_ends_when_five_medians_agree_within_one_percent() -> None:
    assert rounds.is_warm([100.0] * 10)
    assert rounds.is_warm([500.0, 300.0] + [100.0, 100.9] * 5)
    assert not rounds.is_warm([100.0] * 9)
    assert not rounds.is_warm([100.0] * 8 + [102.0] * 2)


@given(st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=60))
def test_the_interval_of_the_median_holds_the_median(values: list[float]) -> None:
    low, high = rounds.median_interval(values)
    assert low <= statistics.median(values) <= high


def test_fewer_than_six_values_have_no_interval_of_95_percent() -> None:
    assert rounds.median_interval([1.0] * 5) == (-math.inf, math.inf)
    assert rounds.median_interval([3, 1, 2, 6, 5, 4]) == (1, 6)


@pytest.mark.parametrize(
    ("n", "k"), [(6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (25, 8), (30, 10), (50, 18)]
)
def test_the_ranks_are_those_of_the_published_table(n: int, k: int) -> None:
    """Ranks of the sign test's 95 % interval (Conover, Practical Nonparametric Statistics, A3)."""
    assert rounds.median_interval(list(range(1, n + 1))) == (k, n + 1 - k)


@pytest.mark.parametrize("n", [8, 20, 51])
def test_the_interval_covers_the_true_median_as_often_as_it_says(n: int) -> None:
    draw = random.Random(n)
    covered = 0
    for _ in range(1000):
        low, high = rounds.median_interval([draw.lognormvariate(0, 1) for _ in range(n)])
        covered += low <= 1.0 <= high
    assert 0.93 <= covered / 1000 <= 0.999


def test_rounds_go_on_until_there_are_enough_and_every_ratio_is_known_well() -> None:
    known: dict[str, Sequence[float]] = {"sdp": [100] * 20, "V1": [300] * 20}
    assert rounds.is_precise(known, "sdp", 20, 20)
    assert not rounds.is_precise(known, "sdp", 19, 20)
    assert not rounds.is_precise({**known, "naive": [99, 101] * 10}, "sdp", 20, 20)


def test_the_reference_is_held_against_its_second_run_and_the_others_against_it() -> None:
    samples = {"sdp": [100] * 8, "V1": [300] * 8, "sdp@again": [90, 110] * 4}
    widths = dict(rounds.half_widths(samples, "sdp"))
    assert widths["V1"] == 0
    assert widths["sdp"] == pytest.approx(widths["sdp@again"])
    assert widths["sdp"] > 0.09


def test_without_the_reference_the_first_case_stands_for_it() -> None:
    widths = dict(rounds.half_widths({"V1": [100] * 8, "naive": [90, 110] * 4}, "sdp"))
    assert widths["V1"] == 0
    assert widths["naive"] > 0.09


def test_without_any_case_there_is_nothing_to_wait_for() -> None:
    assert not dict(rounds.half_widths({}, "sdp"))


def test_half_width_is_relative_and_blind_to_what_both_share() -> None:
    """A drift that slows a round as a whole drops out of the ratios."""
    drift = [1 + 0.05 * i for i in range(20)]
    a = [1000 * d for d in drift]
    b = [1500 * d for d in drift]
    assert rounds.half_width(a, b) == pytest.approx(0, abs=1e-12)
    noisy = [value * (1.01 if i % 2 else 0.99) for i, value in enumerate(b)]
    assert rounds.half_width(a, noisy) == pytest.approx(0.01, rel=0.01)


def test_a_case_whose_budget_ran_out_says_why_it_is_unsure() -> None:
    assert rounds.shortfall(0.001, 20, 20) is None
    assert "7 of 20 rounds" in (rounds.shortfall(0.001, 7, 20) or "")
    assert "2.3%" in (rounds.shortfall(0.023, 20, 20) or "")


def test_short_calls_are_timed_in_groups() -> None:
    assert rounds.calls_per_sample(300e6) == 1
    assert rounds.calls_per_sample(50e3) == 100
    assert rounds.calls_per_sample(1) == 200


def test_the_name_of_the_second_run_is_written_in_one_place() -> None:
    """Probe and host, which run in two Pythons, both take it from here."""
    sources = (ROOT / "scripts").rglob("*.py")
    literal = f'"{rounds.AGAIN}"'
    assert [path.name for path in sources if literal in path.read_text()] == ["rounds.py"]
