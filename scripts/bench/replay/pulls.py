"""What a bump makes a worker pull, in bytes, for packages laid out in layers.

A layer is pulled whole when anything in it changed. The sizes are those of wheels as downloaded:
both wheels and layers are compressed, but not alike.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Key(NamedTuple):
    """A package of an environment; the same package of another environment is another file."""

    environment: str
    package: str


class Wheel(NamedTuple):
    """The file that is installed, a wheel or an sdist; `size` in bytes as downloaded."""

    version: str
    name: str
    size: int


Snapshot = Mapping[Key, Wheel]
"""Everything that an image of one day installs."""


@dataclass(frozen=True)
class Layering:
    """Which layer each package goes to.

    A layer of `stacked` is built on those before it and not reproducible: it is another one when
    one of them is.
    """

    name: str
    layer_of: Callable[[Key], str]
    stacked: Sequence[str] = ()


def each_alone(key: Key) -> str:
    """Give every package a layer of its own: the least that can be pulled."""
    return "/".join(key)


def all_together(_key: Key) -> str:
    """Give all packages one layer: the most that can be pulled."""
    return "all"


def per_environment(key: Key) -> str:
    """Give each environment one layer."""
    return key.environment


def pulled(before: Snapshot, after: Snapshot, layering: Layering) -> int:
    """Return the bytes of the layers of `after` that a worker with `before` does not have."""
    sizes: dict[str, int] = defaultdict(int)
    stale = set()
    for key in before.keys() | after.keys():
        layer = layering.layer_of(key)
        if key in after:
            sizes[layer] += after[key].size
        if before.get(key) != after.get(key):
            stale.add(layer)
    for place, layer in enumerate(layering.stacked):
        if layer in stale:
            stale.update(layering.stacked[place:])
    return sum(sizes[layer] for layer in stale)


def each_bump(snapshots: Sequence[Snapshot], layering: Layering) -> list[int]:
    """Return the bytes of each bump from one snapshot to the next."""
    return [pulled(before, after, layering) for before, after in pairwise(snapshots)]


def count(snapshots: Sequence[Snapshot], layering: Layering) -> int:
    """Return the number of layers that the last snapshot has."""
    return len({layering.layer_of(key) for key in snapshots[-1]})


def moves(snapshots: Sequence[Snapshot], key: Key) -> list[int]:
    """Return the bumps, counted from 0, in which a package came, went or was another file."""
    files = [snapshot.get(key) for snapshot in snapshots]
    return [bump for bump, (old, new) in enumerate(pairwise(files)) if old != new]
