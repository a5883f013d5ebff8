"""What two sets of paired samples allow to be said: estimates, intervals and verdicts."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from scripts.bench.margins import FALSE_DISCOVERIES as FALSE_DISCOVERIES
from scripts.bench.margins import LEAST_ROUNDS as LEAST_ROUNDS
from scripts.bench.margins import MARGIN as MARGIN
from scripts.bench.margins import MARGIN_APART as MARGIN_APART
from scripts.bench.margins import MOST_NOISE as MOST_NOISE
from scripts.bench.schema import Comparison, VerdictName

CONFIDENCE = 0.95
RESAMPLES = 2000
_BATCH_ELEMENTS = 4_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval, in the unit of the samples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """Cases `a` and `b` that ran in the same rounds; `again` is the A/A pair's second run of a.

    Samples are in ns; position i of each belongs to round i. Cycles, where a GPU told its clock,
    are those of the same samples.
    """

    a: str
    b: str
    a_ns: Sequence[int]
    b_ns: Sequence[int]
    again_ns: Sequence[int] | None
    a_cycles: Sequence[int] = ()
    b_cycles: Sequence[int] = ()


def median(samples: Sequence[float], seed: int = 0) -> Estimate:
    """Median and its percentile bootstrap interval. Raises ValueError for no samples."""
    values = np.asarray(samples, dtype=np.float64)
    if not values.size:
        raise ValueError("no samples")
    return _bootstrap(values, np.median, "percentile", seed)


def hodges_lehmann(values: Floats, axis: int = -1) -> Any:
    """Median of the means of all pairs, each value with itself included, along `axis`.

    Hodges and Lehmann, Estimates of location based on rank tests, Ann. Math. Stat. 34 (1963).
    """
    values = np.moveaxis(np.asarray(values), axis, -1)
    first, second = np.triu_indices(values.shape[-1])
    return np.median((values[..., first] + values[..., second]) / 2, axis=-1)


def log_ratio(a_ns: Sequence[int], b_ns: Sequence[int], seed: int = 0) -> Estimate:
    """Hodges-Lehmann estimate of ln(b/a) over the rounds, with a BCa bootstrap interval."""
    return _bootstrap(_log_ratios(a_ns, b_ns), hodges_lehmann, "BCa", seed)


def _log_ratios(a_ns: Sequence[int], b_ns: Sequence[int]) -> Floats:
    if len(a_ns) != len(b_ns) or not a_ns:
        raise ValueError("pairs need as many samples of a as of b, and one at least")
    return np.log(np.asarray(b_ns, dtype=np.float64) / np.asarray(a_ns, dtype=np.float64))


def _bootstrap(values: Floats, statistic: Any, method: str, seed: int) -> Estimate:
    """`statistic` of `values` with its 95 % bootstrap interval.

    Unbounded for a single value. For values that are all equal it is the value itself.
    """
    value = float(statistic(values, axis=-1))
    if values.size < 2:
        return Estimate(value, -math.inf, math.inf)
    if np.ptp(values) == 0:
        return Estimate(value, value, value)
    pairs = values.size * (values.size + 1) // 2
    for each in (method, "percentile"):
        # BCa has no answer where nearly all values are equal, and warns; the percentiles have.
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            interval = stats.bootstrap(
                (values,),
                statistic,
                method=each,
                n_resamples=RESAMPLES,
                confidence_level=CONFIDENCE,
                vectorized=True,
                batch=max(1, _BATCH_ELEMENTS // pairs),
                rng=np.random.default_rng(seed),
            ).confidence_interval
        low, high = float(interval.low), float(interval.high)
        if not (math.isnan(low) or math.isnan(high)):
            break
    return Estimate(value, min(low, value), max(high, value))


def p_value(a_ns: Sequence[int], b_ns: Sequence[int]) -> float:
    """Wilcoxon's signed-rank test of the log-ratios against no difference, two-sided."""
    ratios = _log_ratios(a_ns, b_ns)
    if not ratios.any():
        return 1.0
    return float(stats.wilcoxon(ratios).pvalue)


def verdict(interval: Estimate, margin: float, q: float) -> VerdictName:
    """What an interval of ln(b/a) says about b, given a margin on the same scale.

    FASTER or SLOWER when it lies outside +-margin and q keeps false discoveries under 5 %, SAME
    when it lies inside and the margin is not mere noise, else INCONCLUSIVE.
    """
    if -margin <= interval.low and interval.high <= margin:
        return "SAME" if margin <= math.log1p(MOST_NOISE) else "INCONCLUSIVE"
    if q <= FALSE_DISCOVERIES:
        if interval.high < -margin:
            return "FASTER"
        if interval.low > margin:
            return "SLOWER"
    return "INCONCLUSIVE"


def margin_with_floor(again: Estimate | None, least: float = MARGIN) -> float:
    """ln(1 + least), or the noise floor if that is larger: how far the A/A interval reaches.

    The A/A pair of the same session and shape is two runs of the same thing; what they seem
    to differ by, others may, too.
    """
    margin = math.log1p(least)
    return margin if again is None else max(margin, -again.low, again.high)


def apart(a_ns: Sequence[int], b_ns: Sequence[int], seed: int = 0) -> Estimate:
    """Hodges-Lehmann estimate of ln(b/a) for samples that share no rounds, with its interval.

    The median of the differences of all pairs (two-sample form); both sides are resampled.
    Raises ValueError where a side has no samples.
    """
    a, b = (np.log(np.asarray(taken, dtype=np.float64)) for taken in (a_ns, b_ns))
    if not a.size or not b.size:
        raise ValueError("no samples")
    value = float(_shift(a, b))
    if min(a.size, b.size) < 2:
        return Estimate(value, -math.inf, math.inf)
    interval = stats.bootstrap(
        (a, b),
        _shift,
        method="percentile",
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        vectorized=True,
        batch=max(1, _BATCH_ELEMENTS // (a.size * b.size)),
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(value, min(float(interval.low), value), max(float(interval.high), value))


def _shift(a: Floats, b: Floats, axis: int = -1) -> Any:
    first, second = (np.moveaxis(np.asarray(each), axis, -1) for each in (a, b))
    pairs = second[..., None, :] - first[..., :, None]
    return np.median(pairs.reshape(*pairs.shape[:-2], -1), axis=-1)


@dataclass(frozen=True)
class Difference:
    """What is known of ln(b/a) before several are judged together; `margin` counts as none.

    `cycles` is the same in cycles of the GPU's clock, where they are known.
    """

    a: str
    b: str
    interval: Estimate
    margin: float
    p: float
    enough: bool
    cycles: Estimate | None = None

    def verdict(self, q: float) -> VerdictName:
        """The verdict on the times, if cycles have the same: a clock that moved is no change."""
        if not self.enough:
            return "INCONCLUSIVE"
        word = verdict(self.interval, self.margin, q)
        held = self.cycles is None or verdict(self.cycles, self.margin, q) == word
        return word if held else "INCONCLUSIVE"


def judge(differences: Sequence[Difference]) -> list[Comparison]:
    """Give each difference its verdict; q is Benjamini-Hochberg's over all of them."""
    if not differences:
        return []
    q_values = stats.false_discovery_control([each.p for each in differences])
    return [_judged(each, float(q)) for each, q in zip(differences, q_values, strict=True)]


def _judged(found: Difference, q: float) -> Comparison:
    interval = found.interval
    return Comparison(
        a=found.a,
        b=found.b,
        ratio=math.exp(interval.value),
        ci=(math.exp(interval.low), math.exp(interval.high)),
        p=found.p,
        q=q,
        verdict=found.verdict(q),
        smallest=math.expm1(found.margin + (interval.high - interval.low) / 2),
    )


def compare(pairs: Sequence[Pair], seed: int = 0) -> list[Comparison]:
    """Compare every pair, of which both sides ran in the same rounds."""
    # The A/A pair is the same for all of a reference's pairs: one bootstrap does.
    again_of = {pair.a: (pair.a_ns, pair.again_ns) for pair in pairs if pair.again_ns is not None}
    floors = {a: log_ratio(*samples, seed) for a, samples in again_of.items()}
    return judge(
        [
            Difference(
                a=pair.a,
                b=pair.b,
                interval=log_ratio(pair.a_ns, pair.b_ns, seed),
                margin=margin_with_floor(None if pair.again_ns is None else floors[pair.a]),
                p=p_value(pair.a_ns, pair.b_ns),
                enough=len(pair.a_ns) >= LEAST_ROUNDS,
                cycles=log_ratio(pair.a_cycles, pair.b_cycles, seed)
                if pair.a_cycles and pair.b_cycles
                else None,
            )
            for pair in pairs
        ]
    )


@dataclass(frozen=True)
class Side:
    """A case in one of two runs: samples in ns, and what ln(again/a) of the run's A/A pair was.

    `cycles` are those of the samples, where a GPU told its clock.
    """

    taken_ns: Sequence[int]
    floor: Estimate | None
    cycles: Sequence[int] = ()


def between(name: str, before: Side, after: Side, seed: int = 0) -> Difference:
    """Return what is known of a case in two runs, each of which has rounds of its own.

    Raises ValueError where a side has no samples.
    """
    a_ns, b_ns = before.taken_ns, after.taken_ns
    return Difference(
        a=name,
        b=name,
        interval=apart(a_ns, b_ns, seed),
        margin=max(margin_with_floor(side.floor, MARGIN_APART) for side in (before, after)),
        # Mann and Whitney's test of two samples that are not paired.
        p=float(stats.mannwhitneyu(a_ns, b_ns).pvalue),
        enough=min(len(a_ns), len(b_ns)) >= LEAST_ROUNDS,
        cycles=apart(before.cycles, after.cycles, seed) if before.cycles and after.cycles else None,
    )


def pairs_of(
    samples: Mapping[str, Sequence[int]],
    a: str,
    again: str | None,
    cycles: Mapping[str, Sequence[int]] | None = None,
) -> list[Pair]:
    """`a` against every other case of the same rounds; fewer than two rounds say nothing.

    The A/A pair itself is held against the plain margin. `cycles` are those of the samples.
    """
    if a not in samples or len(samples[a]) < 2:
        return []
    repeat = samples.get(again) if again is not None else None
    known = cycles or {}
    return [
        Pair(
            a,
            b,
            samples[a],
            taken,
            None if b == again else repeat,
            known.get(a, ()),
            known.get(b, ()),
        )
        for b, taken in samples.items()
        if b != a
    ]
