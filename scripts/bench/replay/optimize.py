"""The best layers that a history knows of: an exact optimum over packages in a given order.

Packages are sorted by a measure, and only neighbours may share a layer. The best cut of a sorted
row into at most k pieces is found by dynamic programming (Bellman 1961, "On the approximation of
curves by line segments using dynamic programming"); the cost of a piece is what it would really
have made a worker pull, bump by bump.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.bench.replay.pulls import Key, Layering, Snapshot

Bytes = NDArray[np.int64]


class Seen(NamedTuple):
    """What some bumps did to packages: `moved` and `sizes` (bytes after) by package and bump."""

    keys: list[Key]
    moved: NDArray[np.bool_]
    sizes: Bytes

    def ordered(self, order: Sequence[int]) -> "Seen":
        """Return the same with the packages in another order."""
        return Seen([self.keys[place] for place in order], self.moved[order], self.sizes[order])


def seen(snapshots: Sequence[Snapshot], keys: Iterable[Key]) -> Seen:
    """Return what the bumps from each snapshot to the next did to some packages."""
    rows = sorted(keys)
    bumps = list(pairwise(snapshots))
    moved = [[old.get(key) != new.get(key) for old, new in bumps] for key in rows]
    sizes = [[new[key].size if key in new else 0 for _, new in bumps] for key in rows]
    shape = (len(rows), len(bumps))
    return Seen(
        rows,
        np.array(moved, dtype=bool).reshape(shape),
        np.array(sizes, dtype=np.int64).reshape(shape),
    )


def costs(history: Seen) -> Bytes:
    """Return what the layer of packages i to j-1 would have made a worker pull, at [i, j]."""
    count = len(history.keys)
    found = np.zeros((count + 1, count + 1), dtype=np.int64)
    for first in range(count):
        stale = np.logical_or.accumulate(history.moved[first:], axis=0)
        size = np.cumsum(history.sizes[first:], axis=0)
        found[first, first + 1 :] = (stale * size).sum(axis=1)
    return found


def cut(history: Seen, budget: int) -> tuple[int, list[list[Key]]]:
    """Return the least bytes of at most `budget` layers of neighbours, and those layers.

    Of equally good cuts it takes one with the fewest layers. Raises ValueError for a budget of
    none.
    """
    if budget < 1:
        raise ValueError("packages need a layer at least")
    count = len(history.keys)
    if not count:
        return 0, []
    piece = costs(history)
    # best[j]: the packages before j in as many layers as there were rounds.
    best = piece[0].copy()
    rounds = [best]
    starts = [np.zeros(count + 1, dtype=np.int64)]
    for _ in range(1, min(budget, count)):
        options = best[:, None] + piece
        # A layer does not end before it starts; it may be empty, so this is at most so many.
        options[np.tril_indices(count + 1, -1)] = np.iinfo(np.int64).max
        best = options.min(axis=0)
        rounds.append(best)
        starts.append(options.argmin(axis=0))
    layers = min(range(len(rounds)), key=lambda each: (int(rounds[each][count]), each))
    pieces: list[list[Key]] = []
    end = count
    for start in reversed(starts[: layers + 1]):
        pieces.append(history.keys[int(start[end]) : end])
        end = int(start[end])
    return int(rounds[layers][count]), pieces[::-1]


def orders(history: Seen) -> dict[str, list[int]]:
    """Return the places of the packages sorted by size, by how often they moved, and by both."""
    size = history.sizes.max(axis=1, initial=0)
    rate = history.moved.sum(axis=1)
    places = range(len(history.keys))
    return {
        "size": sorted(places, key=lambda each: (size[each], each)),
        "rate": sorted(places, key=lambda each: (-rate[each], size[each], each)),
        # Half a move more, so that among those that never moved the large ones come last.
        "rate per byte": sorted(
            places, key=lambda each: (-(rate[each] + 0.5) / (size[each] + 1), each)
        ),
    }


def optimized(
    name: str,
    snapshots: Sequence[Snapshot],
    is_free: Callable[[Key], bool],
    rest: Callable[[Key], str],
    budget: int,
) -> Layering:
    """Return the best layers for the free packages of a history, others as `rest` has them.

    A package that the history does not know goes where most moved.
    """
    history = seen(snapshots, {key for each in snapshots for key in each if is_free(key)})
    _, layers = min(
        (cut(history.ordered(order), budget) for order in orders(history).values()),
        key=lambda found: found[0],
    )
    names = {key: f"free-{place}" for place, layer in enumerate(layers) for key in layer}
    moved = dict(zip(history.keys, history.moved, strict=True))
    stale = [int(np.any([moved[key] for key in layer], axis=0).sum()) for layer in layers]
    newcomers = f"free-{stale.index(max(stale))}" if stale else "free-0"
    return Layering(name, lambda key: names.get(key, newcomers) if is_free(key) else rest(key))
