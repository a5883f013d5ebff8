"""The statistics, by simulation: what is the same is called different rarely, a change is seen."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.bench import stats
from scripts.bench.probe import rounds
from scripts.bench.stats import Estimate

SAMPLES = st.lists(st.integers(1_000, 10**9), min_size=6, max_size=25)


def simulated(
    rng: np.random.Generator, ratio: float = 1.0, count: int = 20, noise: float = 0.005
) -> tuple[list[int], list[int], list[int]]:
    """A session of a, its A/A repeat, and b = ratio * a, in rounds of random order.

    The machine slows by 2 % meanwhile; its noise is AR(0.5) from one measurement to the next,
    of standard deviation `noise`.
    """
    factors = {"a": 1.0, "again": 1.0, "b": ratio}
    samples: dict[str, list[int]] = {name: [] for name in factors}
    seed, state, slots = int(rng.integers(1 << 30)), 0.0, count * len(factors)
    for index in range(count):
        for place, name in enumerate(rounds.order(list(factors), seed, "simulated", index)):
            state = 0.5 * state + rng.normal(0, noise * math.sqrt(1 - 0.25))
            drift = 1 + 0.02 * (index * len(factors) + place) / slots
            samples[name].append(int(1e7 * factors[name] * drift * (1 + state)))
    return samples["a"], samples["again"], samples["b"]


def verdicts(ratio: float, sessions: int, count: int = 20) -> list[str]:
    rng = np.random.default_rng(7)
    found: list[str] = []
    for _ in range(sessions):
        a, again, b = simulated(rng, ratio, count)
        found.append(stats.compare([stats.Pair("a", "b", a, b, again)])[0].verdict)
    return found


def test_the_same_thing_twice_is_rarely_called_different() -> None:
    found = verdicts(1.0, sessions=40)
    assert sum(v in ("FASTER", "SLOWER") for v in found) <= 1
    assert found.count("SAME") >= 38


@pytest.mark.parametrize(("ratio", "word"), [(1.04, "SLOWER"), (0.96, "FASTER")])
def test_a_change_of_four_percent_is_found_with_its_sign(ratio: float, word: str) -> None:
    assert verdicts(ratio, sessions=20).count(word) >= 19


def test_a_change_of_two_percent_is_told_from_none() -> None:
    """At the margin itself the verdict may be either; the interval must not reach 1."""
    rng = np.random.default_rng(11)
    clear = 0
    for _ in range(30):
        a, _, b = simulated(rng, 1.02)
        interval = stats.log_ratio(a, b)
        clear += interval.low > 0
        assert math.exp(interval.value) == pytest.approx(1.02, abs=0.006)
    assert clear >= 29


def test_the_interval_covers_the_true_ratio() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(80):
        a, _, b = simulated(rng, 1.1)
        interval = stats.log_ratio(a, b)
        covered += interval.low <= math.log(1.1) <= interval.high
    assert covered >= 69  # 95 % of 80 are 76, less what dependent noise costs


@pytest.mark.parametrize("ratio", [1.0, 1.5])
def test_too_few_rounds_conclude_nothing(ratio: float) -> None:
    """With five rounds the smallest p is 1/16: however large the ratio, chance can do it."""
    rng = np.random.default_rng(5)
    a, again, b = simulated(rng, ratio, count=5)
    assert stats.compare([stats.Pair("a", "b", a, b, again)])[0].verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("again", "ratio", "word"),
    [
        (1.00, 1.03, "SLOWER"),
        (1.04, 1.03, "SAME"),
        (1.04, 1.10, "SLOWER"),
        (1.20, 1.03, "INCONCLUSIVE"),
        (1.20, 1.50, "SLOWER"),
    ],
)
def test_the_noise_of_the_session_widens_the_margin(again: float, ratio: float, word: str) -> None:
    """Where two equal things seem 4 % apart, 3 % is no difference; at 20 % nobody can tell."""
    a = [1_000_000 + 10 * i for i in range(20)]
    repeat, b = ([int(factor * value) for value in a] for factor in (again, ratio))
    assert stats.compare([stats.Pair("a", "b", a, b, repeat)])[0].verdict == word


@pytest.mark.parametrize(
    ("low", "high", "q", "word"),
    [
        (0.03, 0.05, 0.01, "SLOWER"),
        (-0.05, -0.03, 0.01, "FASTER"),
        (-0.01, 0.01, 0.9, "SAME"),
        (0.005, 0.015, 1e-6, "SAME"),
        (0.01, 0.03, 1e-6, "INCONCLUSIVE"),
        (-0.03, 0.03, 0.9, "INCONCLUSIVE"),
        (0.03, 0.05, 0.06, "INCONCLUSIVE"),
    ],
)
def test_verdict_by_interval_margin_and_false_discoveries(
    low: float, high: float, q: float, word: str
) -> None:
    assert stats.verdict(Estimate((low + high) / 2, low, high), math.log1p(0.02), q) == word


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_hodges_lehmann_is_the_median_of_the_pairs_means(values: list[float]) -> None:
    pairs = [(x + y) / 2 for i, x in enumerate(values) for y in values[i:]]
    assert float(stats.hodges_lehmann(np.array(values))) == pytest.approx(float(np.median(pairs)))


def test_hodges_lehmann_works_along_an_axis() -> None:
    values = np.array([[1.0, 2.0, 9.0], [4.0, 4.0, 4.0]])
    assert stats.hodges_lehmann(values, axis=-1).tolist() == [3.5, 4.0]
    assert stats.hodges_lehmann(values.T, axis=0).tolist() == [3.5, 4.0]


@settings(max_examples=15, deadline=None)
@given(SAMPLES)
def test_estimates_lie_in_their_intervals_and_repeat_by_seed(samples: list[int]) -> None:
    first = stats.median(samples, seed=4)
    assert first.low <= first.value <= first.high
    assert stats.median(samples, seed=4) == first


@settings(max_examples=15, deadline=None)
@given(SAMPLES)
def test_a_case_against_itself_is_the_same(samples: list[int]) -> None:
    found = stats.compare([stats.Pair("a", "b", samples, samples, None)])[0]
    assert (found.ratio, found.ci, found.p, found.verdict) == (1, (1, 1), 1, "SAME")


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(10**5, 10**6), st.integers(10**5, 10**6)), min_size=6))
def test_swapping_the_two_turns_the_ratio_round(pairs: list[tuple[int, int]]) -> None:
    a, b = [x for x, _ in pairs[:30]], [y for _, y in pairs[:30]]
    there, back = stats.log_ratio(a, b), stats.log_ratio(b, a)
    assert there.value == pytest.approx(-back.value, abs=1e-12)


def test_one_sample_has_no_interval_and_none_no_estimate() -> None:
    assert stats.median([5.0]) == Estimate(5.0, -math.inf, math.inf)
    with pytest.raises(ValueError, match="no samples"):
        stats.median([])
    with pytest.raises(ValueError, match="as many samples"):
        stats.log_ratio([1, 2], [1])


def test_many_comparisons_of_nothing_raise_q() -> None:
    """One small p among twenty is what chance gives: its q says so."""
    rng = np.random.default_rng(2)
    pairs = []
    for i in range(20):
        a, _, b = simulated(rng, 1.0)
        pairs.append(stats.Pair("a", f"b{i}", a, b, None))
    found = stats.compare(pairs)
    assert all(entry.q >= entry.p for entry in found)
    assert [entry.q for entry in found if entry.q < 0.05] == []


@pytest.mark.parametrize(
    ("p_values", "q_values"),
    [
        ((0.01, 0.02, 0.03, 0.04), (0.04,) * 4),
        ((0.04, 0.001, 0.03), (0.04, 0.003, 0.04)),
        ((0.03, 0.9), (0.06, 0.9)),
    ],
)
def test_q_is_benjamini_and_hochbergs(
    p_values: tuple[float, ...], q_values: tuple[float, ...]
) -> None:
    """By hand: the k-th of m in order is p times m over k, and none is above one after it."""
    slower = Estimate(0.05, 0.04, 0.06)
    found = stats.judge(
        [stats.Difference("a", f"b{p}", slower, 0.01, p, enough=True) for p in p_values]
    )
    assert [each.q for each in found] == pytest.approx(list(q_values))
    words = ["SLOWER" if q <= 0.05 else "INCONCLUSIVE" for q in q_values]
    assert [each.verdict for each in found] == words


@pytest.mark.parametrize(
    ("cycles", "word"), [(1.10, "SLOWER"), (1.0, "INCONCLUSIVE"), (0.9, "INCONCLUSIVE")]
)
def test_what_is_slower_because_the_clock_fell_is_no_change(cycles: float, word: str) -> None:
    a = [1_000_000 + 10 * i for i in range(20)]
    slower, counted = ([int(factor * value) for value in a] for factor in (1.1, cycles))
    pair = stats.Pair("a", "b", a, slower, None, a, counted)
    assert stats.compare([pair])[0].verdict == word
    sides = stats.Side(a, None, a), stats.Side(slower, None, counted)
    assert stats.judge([stats.between("case", *sides)])[0].verdict == word


def test_pairs_hold_every_case_against_the_reference() -> None:
    samples = {"sdp": [1, 2], "V1": [3, 4], "sdp@again": [1, 2]}
    pairs = {pair.b: pair for pair in stats.pairs_of(samples, "sdp", "sdp@again")}
    assert set(pairs) == {"V1", "sdp@again"}
    assert pairs["V1"].again_ns == [1, 2]
    assert pairs["sdp@again"].again_ns is None
    assert stats.pairs_of({"sdp": [1], "V1": [2]}, "sdp", None) == []
    assert stats.pairs_of({"V1": [2, 3]}, "sdp", None) == []
