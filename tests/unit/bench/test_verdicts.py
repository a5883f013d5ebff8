"""What the verdicts promise, on simulated sessions and in the committed table of their rates."""

import csv
from typing import get_args

import numpy as np
import pytest

from scripts.bench.ab.blocks import MOST_PAIRS
from scripts.bench.schema import VerdictName
from scripts.bench.verdicts.rates import (
    CHANGES,
    DESIGNS,
    Design,
    Rate,
    csv_text,
    rates,
    two_locks,
    two_runs,
)
from scripts.bench.verdicts.run import RECORDS, SESSIONS
from scripts.bench.verdicts.simulate import A_AGAIN, MOST_ROUNDS, NOISES, Noise, pairs, session
from scripts.workspace.model import load

LEAST = load().bench.rounds
# Of the committed sessions, how many are judged again.
FEW = 20


NAMES: dict[str, Design] = {name: name for name in DESIGNS}
COUNTS = ("sessions", "faster", "slower", "same", "inconclusive")


def committed() -> list[Rate]:
    with (RECORDS / "rates.csv").open(newline="") as file:
        return [
            Rate(
                design=NAMES[row["design"]],
                noise=row["noise"],
                change=float(row["change"]),
                **{name: int(row[name]) for name in COUNTS},
            )
            for row in csv.DictReader(file)
        ]


def test_the_committed_table_has_every_noise_and_change() -> None:
    found = committed()
    wanted = [(d, noise, change) for d in DESIGNS for noise in NOISES for change in CHANGES[d]]
    assert [(rate.design, rate.noise, rate.change) for rate in found] == wanted
    assert {rate.sessions for rate in found} == {SESSIONS}
    assert csv_text(found) == (RECORDS / "rates.csv").read_text()


@pytest.mark.parametrize("rate", committed(), ids=lambda r: f"{r.design}-{r.noise}-{r.change}")
def test_the_committed_rates_hold_what_is_promised(rate: Rate) -> None:
    if rate.change == 0:
        assert rate.false <= 0.05
        return
    assert rate.false <= 0.01
    looked_for = {"one run": 0.02, "two runs": 0.1, "two locks": 0.05}[rate.design]
    if abs(rate.change) == looked_for:
        assert rate.found >= 0.95


@pytest.mark.parametrize(
    "rate",
    [each for each in committed() if each.design != "two runs"],
    ids=lambda r: f"{r.design}-{r.noise}-{r.change}",
)
def test_the_committed_rates_are_those_of_this_program(rate: Rate) -> None:
    """The first sessions are judged again: their verdicts must be among those that were counted."""
    judged = DESIGNS[rate.design]
    given = [judged(1 + rate.change, rate.noise, LEAST, seed) for seed in range(FEW)]
    for word in get_args(VerdictName):
        seen, counted = given.count(word), getattr(rate, word.lower())
        assert seen <= counted
        assert FEW - seen <= rate.sessions - counted


def test_two_runs_show_a_change_of_ten_percent_and_none_of_two() -> None:
    def given(ratio: float) -> list[str]:
        return [two_runs(ratio, "quiet", LEAST, seed) for seed in range(20)]

    assert given(1.1).count("SLOWER") >= 19
    assert given(0.9).count("FASTER") >= 19
    assert given(1.02).count("SLOWER") <= 8


def test_two_locks_differ_by_what_their_processes_do_and_that_is_no_change() -> None:
    """Where one process is 2 % off another, rounds of one pair alone would call it a change."""
    rng = np.random.default_rng(3)
    apart = [block.ratio for block in pairs(rng, 1.0, Noise(spread=0), 0.02)]
    assert len(apart) == MOST_PAIRS
    assert max(map(abs, apart)) > 0.02
    given = [two_locks(1.0, "quiet", LEAST, seed) for seed in range(FEW)]
    assert set(given) <= {"SAME", "INCONCLUSIVE"}


def test_a_session_ends_as_the_probe_ends_it() -> None:
    quiet, loud = (
        session(np.random.default_rng(1), 1.0, Noise(spread=spread), LEAST)
        for spread in (0.001, 0.05)
    )
    assert {len(taken) for taken in quiet.values()} == {LEAST}
    assert {len(taken) for taken in loud.values()} == {MOST_ROUNDS}


def test_the_ratio_of_a_session_without_noise_is_the_truth() -> None:
    made = session(np.random.default_rng(1), 1.02, Noise(spread=0), LEAST)
    assert set(made["a"]) == set(made[A_AGAIN]) == {10_000_000}
    assert set(made["b"]) == {10_200_000}


def test_what_disturbs_a_session_slows_it_as_it_says() -> None:
    def mean(noise: Noise) -> float:
        made = session(np.random.default_rng(2), 1.0, noise, MOST_ROUNDS)
        return float(np.mean([made["a"], made["b"], made[A_AGAIN]]) / 1e7)

    assert mean(Noise(spread=0, drift=0.02)) == pytest.approx(1.01, abs=0.0005)
    assert mean(Noise(spread=0, burst=0.05)) > 1.001
    assert mean(Noise(spread=0, outliers=True)) > 1.005
    assert mean(Noise(spread=0, level=0.1)) != pytest.approx(1, abs=0.001)


def test_rates_count_every_session_once() -> None:
    found = list(rates(2, LEAST))
    assert len(found) == sum(len(CHANGES[design]) for design in DESIGNS) * len(NOISES)
    for rate in found:
        assert rate.faster + rate.slower + rate.same + rate.inconclusive == rate.sessions == 2
