"""Every grouping on a history, bump by bump, and optimizers on months that they have not seen."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from scripts.bench.replay import groupings
from scripts.bench.replay.groupings import Patterns
from scripts.bench.replay.history import History
from scripts.bench.replay.optimize import optimized
from scripts.bench.replay.pulls import Key, Layering, Snapshot, count, each_bump, moves

# Layers of the web UI's packages; with the other eight of an image that makes sixteen.
BUDGET = 8
# The least gives each of the stack's layers, the pinned packages and the others one.
BUDGETS: Mapping[str, Sequence[int]] = {"webui": range(5, BUDGET + 1), "worker": range(1, 5)}

Halves = Mapping[str, Sequence[Snapshot]]


@dataclass(frozen=True)
class Pull:
    """What one bump makes a worker pull, in bytes, under a grouping of so many layers."""

    month: date
    without: str
    grouping: str
    layers: int
    pulled_bytes: int


@dataclass(frozen=True)
class Trial:
    """Layers that an optimizer chose on some bumps, judged on some: one environment's bytes.

    `pool` is what it could place: all packages, or those that no pin holds. The bumps are `all`,
    the `first` half of them or the `second`.
    """

    without: str
    environment: str
    pool: str
    budget: int
    chosen_on: str
    judged_on: str
    pulled_bytes: int


@dataclass(frozen=True)
class Package:
    """A package over all months: the bumps that moved it, and what they pulled for it alone."""

    without: str
    environment: str
    package: str
    moves: int
    moved_bytes: int
    first_bytes: int
    last_bytes: int
    pinned: bool
    ours: str
    optimizer: str


@dataclass(frozen=True)
class Evaluated:
    """What the groupings come to on one history."""

    pulls: Sequence[Pull]
    trials: Sequence[Trial]
    packages: Sequence[Package]


def evaluate(history: History, without: str, layers: Patterns, exact: Collection[str]) -> Evaluated:
    """Return what every grouping would have pulled.

    `layers` are workspace.toml's, `exact` the packages of the web UI that are held at one version,
    and `without` names the requirements that this history does without.
    """
    snapshots = history.snapshots
    named = groupings.named(layers, snapshots[0], exact)
    best = _optimizer(groupings.OPTIMIZED, snapshots, exact, BUDGET)
    rows = [(each, count(snapshots, each), each_bump(snapshots, each)) for each in [*named, best]]
    halves = _halves(snapshots)
    held_out = Layering(groupings.HELD_OUT, best.layer_of)
    rows.append((held_out, rows[-1][1], _held_out(halves, exact)))
    by_name = {each.name: each for each in [*named, best]}
    return Evaluated(
        pulls=[
            Pull(month, without, each.name, layer_count, size)
            for each, layer_count, sizes in rows
            for month, size in zip(history.days[1:], sizes, strict=True)
        ],
        trials=list(_trials(halves, without, exact)),
        packages=[_package(key, without, snapshots, exact, by_name) for key in _keys(snapshots)],
    )


def _halves(snapshots: Sequence[Snapshot]) -> Halves:
    """Return all bumps, the first half of them and the second; the halves share a snapshot."""
    middle = (len(snapshots) - 1) // 2
    return {"all": snapshots, "first": snapshots[: middle + 1], "second": snapshots[middle:]}


def _optimizer(
    name: str, snapshots: Sequence[Snapshot], exact: Collection[str], budget: int
) -> Layering:
    """Return an image's layers, where an optimizer placed what no pin holds of the web UI."""
    held = groupings.held(exact)
    fixed = len(groupings.STACK) + 1
    return optimized(name, snapshots, groupings.may_move(exact), held.layer_of, budget - fixed)


def _held_out(halves: Halves, exact: Collection[str]) -> list[int]:
    """Return the bytes of each bump under the layers that the other half of the bumps chose."""
    found = []
    for chosen_on, judged_on in (("second", "first"), ("first", "second")):
        layering = _optimizer("", halves[chosen_on], exact, BUDGET)
        found += each_bump(halves[judged_on], layering)
    return found


def _trials(halves: Halves, without: str, exact: Collection[str]) -> Iterator[Trial]:
    for environment, budgets in BUDGETS.items():
        own = {name: [_only(each, environment) for each in half] for name, half in halves.items()}
        for pool in ("all", "not pinned") if environment == "webui" else ("all",):
            for budget in budgets:
                for chosen_on, half in own.items():
                    layering = (
                        _optimizer("", half, exact, budget)
                        if pool == "not pinned"
                        else optimized("", half, lambda key: True, lambda key: "", budget)
                    )
                    for judged_on in ("all",) if chosen_on == "all" else ("first", "second"):
                        pulled = sum(each_bump(own[judged_on], layering))
                        yield Trial(
                            without, environment, pool, budget, chosen_on, judged_on, pulled
                        )


def _only(snapshot: Snapshot, environment: str) -> Snapshot:
    return {key: wheel for key, wheel in snapshot.items() if key.environment == environment}


def _keys(snapshots: Sequence[Snapshot]) -> list[Key]:
    return sorted({key for each in snapshots for key in each})


def _package(
    key: Key,
    without: str,
    snapshots: Sequence[Snapshot],
    exact: Collection[str],
    by_name: Mapping[str, Layering],
) -> Package:
    moved = moves(snapshots, key)
    wheels = [snapshot[key] for snapshot in snapshots if key in snapshot]
    return Package(
        without=without,
        environment=key.environment,
        package=key.package,
        moves=len(moved),
        moved_bytes=sum(
            snapshots[bump + 1][key].size for bump in moved if key in snapshots[bump + 1]
        ),
        first_bytes=wheels[0].size,
        last_bytes=wheels[-1].size,
        pinned=key.environment == "webui" and key.package in exact,
        ours=by_name[groupings.OURS].layer_of(key),
        optimizer=by_name[groupings.OPTIMIZED].layer_of(key),
    )
