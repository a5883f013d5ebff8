"""Which run speaks for a shape: a recorded one before a local one, each machine for itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, zip_longest
from typing import Generic, Protocol, TypeVar

from scripts.bench.schema import Case
from scripts.bench.tracking.changes import machine
from scripts.bench.tracking.store import is_glance
from scripts.report.sources import Taken

Item = TypeVar("Item")


class Group(Protocol):
    """What makes cases one chart: a shape, say."""

    @property
    def label(self) -> str:
        """The group in words."""


Key = TypeVar("Key", bound=Group)


@dataclass(frozen=True)
class Drawn(Generic[Key, Item]):
    """What one run has of a group, and where it was measured, if a device has several machines.

    With `aside` a recorded run speaks for the group; this one is of this machine alone.
    """

    group: Key
    items: Sequence[Item]
    taken: Taken
    where: str = ""
    aside: bool = False

    @property
    def label(self) -> str:
        """The group in words, with all by which a reader could take it for more than it is."""
        return f"{self.group.label}{marks(self.taken, self.where)}"


def marks(taken: Taken, where: str = "") -> str:
    """Return what a label says of a run: where it was, and that it is a glance or not recorded."""
    said = [where, "a glance" if is_glance(taken.run) else "", "" if taken.recorded else "local"]
    words = ", ".join(filter(None, said))
    return f" ({words})" if words else ""


def drawn(
    runs: Sequence[Taken],
    groups: Callable[[Taken], Mapping[Key, Sequence[Item]]],
    case: Callable[[Item], Case],
) -> list[Drawn[Key, Item]]:
    """Return for each group and machine the run that speaks for it, then what is shown aside.

    That is the newest recorded one. A newer local run takes its place only if it is no glance and
    timed all that it did; else it stands aside. So does one of a machine without a record of the
    group, where another has one, and a glance on any device with records. `runs` are the oldest
    first.
    """
    where = places(runs)
    recorded = {
        (group, machine(taken.run)) for taken in runs if taken.recorded for group in groups(taken)
    }
    known = {group for group, _ in recorded}
    heads: dict[tuple[Key, tuple[str, ...]], Drawn[Key, Item]] = {}
    asides: dict[tuple[Key, tuple[str, ...]], Drawn[Key, Item]] = {}
    for taken in runs:
        at = machine(taken.run)
        for group, items in groups(taken).items():
            key = (group, at)
            head = heads.get(key)
            if head is None or _replaces(taken, items, head, case):
                heads[key] = Drawn(group, items, taken, where[at])
                asides.pop(key, None)
            else:
                asides[key] = Drawn(group, items, taken, where[at], aside=True)
    for key, head in heads.items():
        if key not in recorded and (head.group in known or (known and is_glance(head.taken.run))):
            heads[key] = replace(head, aside=True)
    return [*heads.values(), *asides.values()]


def _replaces(
    taken: Taken, items: Sequence[Item], head: Drawn[Key, Item], case: Callable[[Item], Case]
) -> bool:
    if taken.recorded or is_glance(head.taken.run):
        return True
    mine, theirs = (
        {found.id for found in map(case, each) if found.status == "ok"}
        for each in (items, head.items)
    )
    return not is_glance(taken.run) and mine >= theirs


def places(runs: Iterable[Taken]) -> dict[tuple[str, ...], str]:
    """Return each machine of a device in words: what the others have not; '' for a single one."""
    known = list(dict.fromkeys(machine(taken.run) for taken in runs))
    varies = [len(set(parts)) > 1 for parts in zip_longest(*known)]
    return {each: ", ".join(compress(each, varies)) for each in known}
