"""Pairs of processes as observations: what their ratios allow to be said."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import stats
from scripts.bench.ab.blocks import (
    LEAST_PAIRS,
    Block,
    difference,
    is_precise,
    mean,
    p_value,
)

RATIOS = st.lists(st.integers(-500, 500).map(lambda n: n / 1000), min_size=2, max_size=20)


def block(ratio: float, rounds: int = 8, mhz: int | None = None) -> Block:
    """Rounds of 1 ms that take `ratio` times as long after the bump."""
    before, after = 1_000_000, round(1_000_000 * ratio)
    clock = None if mhz is None else mhz
    cycles = [None if clock is None else ns * clock // 1000 for ns in (before, after)]
    return Block((((before, cycles[0]), (after, cycles[1])),) * rounds)


def verdict(*ratios: float) -> str:
    return stats.judge([difference("case", [block(each) for each in ratios])])[0].verdict


def test_a_change_that_all_pairs_of_processes_show_is_one() -> None:
    assert verdict(1.048, 1.05, 1.052, 1.049, 1.051, 1.05) == "SLOWER"
    assert verdict(0.948, 0.95, 0.952, 0.949, 0.951, 0.95) == "FASTER"
    assert verdict(0.998, 1.0, 1.002, 0.999, 1.001, 1.0) == "SAME"


def test_a_change_in_one_pair_is_the_process_and_no_change() -> None:
    assert verdict(1.3, 1.0, 1.001, 0.999, 1.0, 1.0) == "INCONCLUSIVE"


def test_fewer_pairs_than_six_conclude_nothing() -> None:
    assert verdict(*[2.0, 2.001] * 2, 2.0) == "INCONCLUSIVE"
    assert verdict(*[2.0, 2.001] * 3) == "SLOWER"


def test_one_disturbed_round_of_a_pair_does_not_move_its_ratio() -> None:
    calm = block(1.02)
    disturbed = Block((((1_000_000, None), (9_000_000, None)), *calm.rounds[1:]))
    assert disturbed.ratio == pytest.approx(calm.ratio, abs=1e-9)


def test_what_is_slower_by_its_clock_alone_is_no_change() -> None:
    """After the bump the GPU's clock was half as fast, so the cycles are the same."""
    slow = tuple(((1_000_000, 1_000_000), (2_000_000 + n, 1_000_000)) for n in range(8))
    found = difference("case", [Block(slow)] * LEAST_PAIRS)
    assert found.interval.low > 0.6
    assert found.cycles is not None
    assert found.cycles.value == 0
    assert stats.judge([found])[0].verdict == "INCONCLUSIVE"


def test_cycles_count_only_where_every_round_of_every_pair_has_them() -> None:
    assert difference("case", [block(1.0, mhz=1000)] * 6).cycles is not None
    assert difference("case", [*[block(1.0, mhz=1000)] * 5, block(1.0)]).cycles is None


@given(RATIOS)
def test_the_interval_is_around_the_mean_and_narrower_with_the_same_again(
    ratios: list[float],
) -> None:
    found, twice = mean(ratios), mean(ratios * 2)
    assert found.low <= found.value <= found.high
    assert twice.high - twice.low <= found.high - found.low + 1e-12
    assert mean([-each for each in ratios]).value == pytest.approx(-found.value)


@given(RATIOS)
def test_p_says_5_percent_exactly_where_the_interval_ends_at_no_difference(
    ratios: list[float],
) -> None:
    found = mean(ratios)
    if min(abs(found.low), abs(found.high)) > 1e-9:  # not at the very border
        assert (p_value(ratios) < 0.05) == (found.low > 0 or found.high < 0)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of 6 pairs whose processes are normal: 95 of 100 intervals, give or take chance."""
    drawn = np.random.default_rng(1).normal(0.01, 0.014, (1000, 6))
    held = sum(found.low <= 0.01 <= found.high for found in (mean(list(row)) for row in drawn))
    assert 930 <= held <= 970


def test_a_single_pair_says_nothing() -> None:
    assert mean([0.3]) == stats.Estimate(0.3, -math.inf, math.inf)
    assert p_value([0.3]) == 1.0


def test_enough_is_known_when_every_case_is_and_not_before_the_sixth_pair() -> None:
    known, unknown = [block(1.0)] * 6, [block(1.0), block(1.1)] * 3
    assert is_precise({"a": known})
    assert not is_precise({"a": known, "b": unknown})
    assert not is_precise({"a": known[:5]})
    assert not is_precise({})
