"""The optimizer finds the best cut of a row, and counts bytes as the replay does."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.replay.optimize import cut, optimized, orders, seen
from scripts.bench.replay.pulls import Key, Layering, Snapshot, Wheel, each_alone, each_bump

KEYS = [Key("webui", name) for name in "abcde"]
WHEELS = st.builds(
    lambda version, size: Wheel(version, version, size), st.sampled_from("12"), st.integers(0, 99)
)
HISTORIES = st.lists(st.dictionaries(st.sampled_from(KEYS), WHEELS), min_size=2, max_size=5)
BUDGETS = st.integers(1, 5)


def cuts(row: Sequence[Key], budget: int) -> Iterator[list[Sequence[Key]]]:
    """Yield every way to cut a row into at most `budget` pieces."""
    for pieces in range(min(budget, len(row))):
        for places in combinations(range(1, len(row)), pieces):
            edges = [0, *places, len(row)]
            yield [row[a:b] for a, b in pairwise(edges)]


def cost(snapshots: Sequence[Snapshot], pieces: Sequence[Sequence[Key]]) -> int:
    """Return what a cut pulls, by the replay's own arithmetic."""
    layer_of = {key: str(place) for place, piece in enumerate(pieces) for key in piece}
    return sum(each_bump(snapshots, Layering("", layer_of.__getitem__)))


@given(snapshots=HISTORIES, budget=BUDGETS)
def test_the_best_cut_is_the_one_that_trying_all_finds(
    snapshots: list[Snapshot], budget: int
) -> None:
    history = seen(snapshots, KEYS)
    least, pieces = cut(history, budget)
    assert [key for piece in pieces for key in piece] == KEYS
    assert 1 <= len(pieces) <= budget
    assert all(pieces)
    assert least == cost(snapshots, pieces)
    assert least == min(cost(snapshots, each) for each in cuts(KEYS, budget))


@given(snapshots=HISTORIES, budget=BUDGETS)
def test_it_is_never_worse_than_any_cut_of_the_orders_that_it_searches(
    snapshots: list[Snapshot], budget: int
) -> None:
    keys = sorted({key for each in snapshots for key in each})
    history = seen(snapshots, keys)
    found = optimized("", snapshots, lambda key: True, lambda key: "", budget)
    reached = sum(each_bump(snapshots, found))
    for order in orders(history).values():
        row = [keys[place] for place in order]
        assert all(reached <= cost(snapshots, each) for each in cuts(row, budget))


@given(snapshots=HISTORIES, budget=BUDGETS)
def test_a_larger_budget_is_never_worse_and_one_layer_each_is_the_limit(
    snapshots: list[Snapshot], budget: int
) -> None:
    history = seen(snapshots, KEYS)
    assert cut(history, budget + 1)[0] <= cut(history, budget)[0]
    limit = sum(each_bump(snapshots, Layering("", each_alone)))
    assert cut(history, len(KEYS))[0] == limit


def wheel(size: int, version: int = 1) -> Wheel:
    return Wheel(str(version), f"{version}.whl", size)


STILL, LARGE, SMALL, OTHER = (Key("webui", name) for name in ("still", "large", "small", "other"))
MONTHS = [
    {STILL: wheel(1000), LARGE: wheel(100, month // 2), SMALL: wheel(1, month)}
    for month in range(5)
]


def test_what_never_moves_gets_a_layer_without_what_does() -> None:
    found = optimized("", MONTHS, lambda key: True, lambda key: "", 3)
    assert len({found.layer_of(key) for key in (STILL, LARGE, SMALL)}) == 3
    two = optimized("", MONTHS, lambda key: True, lambda key: "", 2)
    assert two.layer_of(STILL) not in (two.layer_of(LARGE), two.layer_of(SMALL))


def test_only_free_packages_are_placed() -> None:
    found = optimized("", MONTHS, lambda key: key != STILL, lambda key: "held", 2)
    assert found.layer_of(STILL) == "held"
    assert found.layer_of(LARGE) != found.layer_of(SMALL) != "held"


def test_a_package_that_the_history_does_not_know_goes_where_most_moved() -> None:
    found = optimized("", MONTHS, lambda key: True, lambda key: "", 3)
    assert found.layer_of(OTHER) == found.layer_of(SMALL)


def test_a_budget_of_no_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="a layer at least"):
        cut(seen(MONTHS, [STILL]), 0)


def test_without_free_packages_all_stay_where_they_are() -> None:
    found = optimized("", MONTHS, lambda key: False, lambda key: key.package, 2)
    assert found.layer_of(STILL) == "still"
