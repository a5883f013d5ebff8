"""Sessions of a made-up machine: what is timed, what disturbs it, and when the probe stops."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scripts.bench.ab.blocks import MOST_PAIRS, Block
from scripts.bench.ab.session import ROUNDS
from scripts.bench.probe import rounds

MOST_ROUNDS = 60
"""When the budget is over though the intervals are still wide."""
CASE_NS = 1e7


@dataclass(frozen=True)
class Noise:
    """How a machine disturbs what is timed; shares are of a sample's time.

    `spread` is the standard deviation of AR(1) noise with coefficient 0.5 from one sample to the
    next, normal or, with `heavy`, of Student's t with 3 degrees of freedom. `drift` is how much
    slower the machine is at the end. A burst slows all of 5 to 15 samples by `burst`, and begins at
    one sample in a hundred. One sample in fifty is an outlier when `outliers` is set: it takes
    longer by a share that is exponential with mean 1. `level` is the standard deviation of what
    makes a whole run slower or faster than another.
    """

    spread: float = 0.005
    heavy: bool = False
    drift: float = 0.0
    burst: float = 0.0
    outliers: bool = False
    level: float = 0.0


NOISES = {
    "quiet": Noise(),
    "drift": Noise(drift=0.02),
    "bursts": Noise(burst=0.05),
    "outliers": Noise(outliers=True),
    "heavy tails": Noise(heavy=True),
    "all of these": Noise(heavy=True, drift=0.02, burst=0.05, outliers=True),
}
BEGINS, LASTS = 0.01, (5, 15)
OUTLIER = 0.02
A_AGAIN = f"a{rounds.AGAIN}"


def session(
    rng: np.random.Generator, ratio: float, noise: Noise, least_rounds: int
) -> dict[str, list[int]]:
    """Return the samples, in ns, of cases a, a once more (`a@again`) and b, `ratio` times as long.

    Rounds are ordered and ended as the probe does it, so the lists are equally long.
    """
    factors = {"a": 1.0, A_AGAIN: 1.0, "b": ratio}
    samples: dict[str, list[int]] = {name: [] for name in factors}
    seed = int(rng.integers(1 << 30))
    slowed = _slowed(rng, noise, MOST_ROUNDS * len(factors))
    for index in range(MOST_ROUNDS):
        for name in rounds.order(list(factors), seed, "simulated", index):
            samples[name].append(round(CASE_NS * factors[name] * next(slowed)))
        if rounds.is_precise(samples, "a", index + 1, least_rounds):
            break
    return samples


def pairs(rng: np.random.Generator, ratio: float, noise: Noise, process: float) -> Iterator[Block]:
    """Yield pairs of processes as an A/B session of two locks takes them, for as long as asked.

    The second of each takes `ratio` times as long; `process` is the standard deviation of what
    makes a process slower or faster than another, for as long as it lives.
    """
    slowed = _slowed(rng, noise, 2 * ROUNDS * MOST_PAIRS)
    seed = int(rng.integers(1 << 30))
    for index in range(MOST_PAIRS):
        factors = {"a": 1.0, "b": ratio}
        levels = {name: math.exp(rng.normal(0, process)) for name in factors}
        taken = []
        for each in range(ROUNDS):
            ns = {
                name: round(CASE_NS * factors[name] * levels[name] * next(slowed))
                for name in rounds.order(list(factors), seed, str(index), each)
            }
            taken.append(((ns["a"], None), (ns["b"], None)))
        yield Block(tuple(taken))


def _slowed(rng: np.random.Generator, noise: Noise, count: int) -> Iterator[float]:
    """Yield the factor by which the machine slows each of `count` samples in a row."""
    level, state, left = rng.normal(0, noise.level), 0.0, 0
    for index in range(count):
        # Student's t has variance 3 with 3 degrees of freedom.
        shock = rng.standard_t(3) / math.sqrt(3) if noise.heavy else rng.normal()
        state = 0.5 * state + shock * noise.spread * math.sqrt(1 - 0.5**2)
        factor = math.exp(level + state) * (1 + noise.drift * index / count)
        left = max(left - 1, 0)
        if noise.burst and not left and rng.random() < BEGINS:
            left = int(rng.integers(LASTS[0], LASTS[1], endpoint=True))
        if left:
            factor *= 1 + noise.burst
        if noise.outliers and rng.random() < OUTLIER:
            factor *= 1 + rng.exponential()
        yield factor
