"""How often each verdict is given where the truth is known."""

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import islice, product
from typing import Literal

import numpy as np
from rich import box
from rich.table import Table

from scripts.bench import stats
from scripts.bench.ab.blocks import LEAST_PAIRS, MOST_PAIRS, Block, difference, is_precise
from scripts.bench.schema import VerdictName
from scripts.bench.verdicts.simulate import A_AGAIN, NOISES, pairs, session

Design = Literal["one run", "two runs", "two locks"]
# The changes that are looked for: none, and what a design is to find.
CHANGES: dict[Design, tuple[float, ...]] = {
    "one run": (0.0, 0.02, -0.02),
    "two runs": (0.0, 0.02, 0.1, -0.1),
    "two locks": (0.0, 0.02, 0.05, -0.05),
}
# Two runs then differ by at most 4 % in 95 % of all cases, as Tritonbench's nightly figures do.
LEVEL = 0.04 / 1.96 / 2**0.5
# One process is then within 2 % of another lock's in 84 % of all cases, before any round of it.
PROCESS = 0.01


@dataclass(frozen=True)
class Rate:
    """Verdicts on `sessions` made-up sessions, as counts; `change` is the truth, of a's time."""

    design: Design
    noise: str
    change: float
    sessions: int
    faster: int
    slower: int
    same: int
    inconclusive: int

    @property
    def false(self) -> float:
        """Share of verdicts that name a change where there is none, or its other direction."""
        if self.change == 0:
            return (self.faster + self.slower) / self.sessions
        return (self.slower if self.change < 0 else self.faster) / self.sessions

    @property
    def found(self) -> float:
        """Share of sessions in which the change was found, with its direction."""
        count = self.same if self.change == 0 else self.faster if self.change < 0 else self.slower
        return count / self.sessions


def one_run(ratio: float, noise: str, least_rounds: int, seed: int) -> VerdictName:
    """The verdict on b against a, timed in the same rounds; b takes `ratio` times as long."""
    made = session(np.random.default_rng(seed), ratio, NOISES[noise], least_rounds)
    pair = stats.Pair("a", "b", made["a"], made["b"], made[A_AGAIN])
    return stats.compare([pair])[0].verdict


def two_runs(ratio: float, noise: str, least_rounds: int, seed: int) -> VerdictName:
    """The verdict on two stored runs of a case, of which the second takes `ratio` times as long."""
    rng = np.random.default_rng(seed)
    noisy = replace(NOISES[noise], level=LEVEL)

    def side(slower: float) -> stats.Side:
        made = session(rng, 1.0, noisy, least_rounds)
        floor = stats.log_ratio(made["a"], made[A_AGAIN])
        return stats.Side([round(slower * ns) for ns in made["a"]], floor)

    return stats.judge([stats.between("case", side(1.0), side(ratio))])[0].verdict


def two_locks(ratio: float, noise: str, least_rounds: int, seed: int) -> VerdictName:
    """The verdict of an A/B session, of which the second lock takes `ratio` times as long.

    It ends by itself, or after a number of pairs that is drawn: the budget may be any. A pair has
    its own number of rounds, whatever `least_rounds` says.
    """
    rng = np.random.default_rng(seed)
    most = int(rng.integers(LEAST_PAIRS, MOST_PAIRS, endpoint=True))
    blocks: list[Block] = []
    for block in islice(pairs(rng, ratio, NOISES[noise], PROCESS), most):
        blocks.append(block)
        if is_precise({"case": blocks}):
            break
    return stats.judge([difference("case", blocks)])[0].verdict


DESIGNS: dict[Design, Callable[[float, str, int, int], VerdictName]] = {
    "one run": one_run,
    "two runs": two_runs,
    "two locks": two_locks,
}


def rates(sessions: int, least_rounds: int) -> Iterator[Rate]:
    """Yield the rates of every design, noise and change, `sessions` of each; the same each time."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for design, judged in DESIGNS.items():
            for noise, change in product(NOISES, CHANGES[design]):
                verdict = partial(judged, 1 + change, noise, least_rounds)
                given = Counter(pool.map(verdict, range(sessions), chunksize=10))
                yield Rate(
                    design=design,
                    noise=noise,
                    change=change,
                    sessions=sessions,
                    faster=given["FASTER"],
                    slower=given["SLOWER"],
                    same=given["SAME"],
                    inconclusive=given["INCONCLUSIVE"],
                )


def csv_text(found: Sequence[Rate]) -> str:
    """Return a CSV file with a row for each rate."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(Rate)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(rate) for rate in found)
    return out.getvalue()


def table(found: Sequence[Rate]) -> Table:
    """Return the rates as a table, in percent."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("compared in")
    made.add_column("noise")
    for title in ("change", "FASTER", "SLOWER", "SAME", "INCONCLUSIVE"):
        made.add_column(title, justify="right")
    for rate in found:
        counts = (rate.faster, rate.slower, rate.same, rate.inconclusive)
        cells = [f"{100 * count / rate.sessions:.1f} %" for count in counts]
        made.add_row(rate.design, rate.noise, f"{100 * rate.change:+.0f} %", *cells)
    return made
