"""Order of the rounds, when warm-up is over, and when enough rounds were run; without torch.

The probe only decides when to stop; the statistics of the result are the host's.
"""

import math
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

AGAIN = "@again"
"""Ends the name of the reference's second run in a round: the A/A pair."""
HALF_WIDTH = 0.005
WARM_MEDIANS = 5
WARM_TOLERANCE = 0.01


def order(names: Sequence[str], seed: int, key: str, index: int) -> list[str]:
    """A permutation of `names` for round `index` of case set `key`, the same for the same seed."""
    shuffled = list(names)
    random.Random(f"{seed}/{key}/{index}").shuffle(shuffled)
    return shuffled


def is_warm(times: Sequence[float], block: int = 2) -> bool:
    """Whether the medians of the last five blocks of `block` times agree within 1 %.

    `times` are consecutive durations in any unit; ten of them are needed at least.
    """
    needed = WARM_MEDIANS * block
    if len(times) < needed:
        return False
    tail = times[len(times) - needed :]
    medians = [statistics.median(tail[i : i + block]) for i in range(0, needed, block)]
    return max(medians) <= min(medians) * (1 + WARM_TOLERANCE)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Distribution-free confidence interval of the median from order statistics.

    With X ~ Binomial(n, 1/2) the interval [x_(k), x_(n+1-k)] misses the median with
    probability 2*P(X <= k-1); k is the largest with at most 1 - `confidence` (David and
    Nagaraja, Order Statistics, 3rd edition, section 7.1). Fewer than six values have no such
    interval for 95 %: it is then unbounded.
    """
    n = len(values)
    k = _rank(n, confidence)
    if k == 0:
        return -math.inf, math.inf
    ranked = sorted(values)
    return ranked[k - 1], ranked[n - k]


@cache
def _rank(n: int, confidence: float) -> int:
    # The same for every case of a round: it takes as long as all else between two of them.
    tail, k = 0.0, 0
    while k < n // 2:
        tail += math.comb(n, k) / 2**n
        if 2 * tail > 1 - confidence:
            break
        k += 1
    return k


def shares(inside_s: float, held_s: float, spent_s: float) -> dict[str, float]:
    """Parts of the rounds' time, from 0 to 1: the GPU held before calls, and the harness's own.

    The first is left out where nothing was held, as on a CPU.
    """
    outside = {"outside_share": outside_share(inside_s + held_s, spent_s)}
    return {**outside, "held_share": round(held_s / spent_s, 6)} if held_s and spent_s else outside


def outside_share(inside_s: float, spent_s: float) -> float:
    """The part of a time that was not spent in measured calls, from 0 to 1."""
    return round(max(0.0, 1 - inside_s / spent_s), 6) if spent_s else 0.0


def half_width(a: Sequence[float], b: Sequence[float]) -> float:
    """Half the width of the interval of the median of ln(b/a), over rounds that pair a and b."""
    low, high = median_interval([math.log(y / x) for x, y in zip(a, b, strict=True)])
    return (high - low) / 2


def half_widths(
    samples: Mapping[str, Sequence[float]], reference: str
) -> Iterator[tuple[str, float]]:
    """Yield the half-width of each case's ratio to the reference, of the reference's to its second.

    Where the reference is not among the cases, the first of them stands for it.
    """
    if not samples:
        return
    base = reference if reference in samples else next(iter(samples))
    again = base + AGAIN if base + AGAIN in samples else base
    for name, taken in samples.items():
        yield name, half_width(samples[again if name == base else base], taken)


def is_precise(
    samples: Mapping[str, Sequence[float]], reference: str, rounds: int, least_rounds: int
) -> bool:
    """Stop rule: enough rounds, and every half-width under 0.5 %.

    It is asked after every round: the first case that is not precise is its answer, and the others
    are not looked at.
    """
    widths = half_widths(samples, reference)
    return rounds >= least_rounds and all(width < HALF_WIDTH for _, width in widths)


def calls_per_sample(fastest_ns: float, target_ns: float = 5e6, most: int = 200) -> int:
    """Calls to time together so that a sample is long against the clock and the interpreter."""
    return max(1, min(most, math.ceil(target_ns / max(fastest_ns, 1.0))))


def shortfall(width: float, rounds: int, least_rounds: int) -> str | None:
    """Why a case whose budget ran out is less sure than it should be, or None if it is not."""
    if rounds < least_rounds:
        return f"noisy: {rounds} of {least_rounds} rounds in the budget"
    if width >= HALF_WIDTH:
        return f"noisy: ratio known to ±{width:.1%}"
    return None
