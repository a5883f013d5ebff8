"""What a session of two locks allows to be said: each pair of processes is one observation.

Within a pair of processes rounds are taken in turns, so what slows the machine meets both. But
where a process has its memory, and what its threads share a core with, stays as it is while it
lives, and can make all its rounds faster or slower. No number of rounds shows that; other processes
do. So the ratio of each pair is one value, and Student's t gives the interval of their mean.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

from scripts.bench import stats
from scripts.bench.stats import Difference, Estimate

LEAST_PAIRS = 6
"""With fewer the interval is wider than what separates the processes: t is 4.3 for three pairs."""
MOST_PAIRS = 20
HALF_WIDTH = 0.005
"""Enough is known when all intervals are narrower, as within one run."""

Taken = tuple[int, int | None]
"""A sample in ns, and in cycles where a GPU told its clock."""


@dataclass(frozen=True)
class Block:
    """The rounds of a case in one pair of processes, (before, after) of each round."""

    rounds: tuple[tuple[Taken, Taken], ...]

    @property
    def ratio(self) -> float:
        """Hodges-Lehmann estimate of ln(after/before) over the rounds."""
        return _ratio([(before[0], after[0]) for before, after in self.rounds])

    @property
    def cycles(self) -> float | None:
        """The same in cycles of the clock; None where a round has none."""
        known = [
            (before[1], after[1])
            for before, after in self.rounds
            if before[1] is not None and after[1] is not None
        ]
        return _ratio(known) if len(known) == len(self.rounds) else None


def _ratio(taken: Sequence[tuple[int, int]]) -> float:
    before, after = np.asarray(taken, dtype=np.float64).T
    return float(stats.hodges_lehmann(np.log(after / before)))


def mean(values: Sequence[float]) -> Estimate:
    """The mean with Student's 95 % interval, unbounded for a single value."""
    value = float(np.mean(values))
    if len(values) < 2:
        return Estimate(value, -math.inf, math.inf)
    half = _standard_error(values) * float(
        distributions.t.ppf((1 + stats.CONFIDENCE) / 2, len(values) - 1)
    )
    return Estimate(value, value - half, value + half)


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def p_value(values: Sequence[float]) -> float:
    """Student's one-sample test against no difference, two-sided; 1 for a single value."""
    if len(values) < 2 or not any(values):
        return 1.0
    error = _standard_error(values)
    away = abs(float(np.mean(values)))
    return 2 * float(distributions.t.sf(away / error, len(values) - 1)) if error else 0.0


def difference(case: str, blocks: Sequence[Block]) -> Difference:
    """Return what is known of a case; there is one block at least."""
    ratios = [block.ratio for block in blocks]
    cycles = [value for block in blocks if (value := block.cycles) is not None]
    return Difference(
        a=case,
        b=case,
        interval=mean(ratios),
        # No noise floor beside it: how far two processes seem apart is in the interval already.
        margin=math.log1p(stats.MARGIN),
        p=p_value(ratios),
        enough=len(ratios) >= LEAST_PAIRS,
        cycles=mean(cycles) if len(cycles) == len(ratios) else None,
    )


def is_precise(blocks: Mapping[str, Sequence[Block]]) -> bool:
    """Stop rule: enough pairs, and every half-width under 0.5 %."""
    return bool(blocks) and all(
        len(each) >= LEAST_PAIRS and _half_width(each) < HALF_WIDTH for each in blocks.values()
    )


def _half_width(blocks: Sequence[Block]) -> float:
    found = mean([block.ratio for block in blocks])
    return (found.high - found.low) / 2
