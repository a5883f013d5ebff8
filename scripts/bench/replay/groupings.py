"""The groupings that are held against one another, most of them named by a person."""

from collections.abc import Callable, Collection, Mapping, Sequence

from scripts.bench.replay.pulls import (
    Key,
    Layering,
    Snapshot,
    all_together,
    each_alone,
    per_environment,
)
from scripts.lock.layers import WORKER, first_match
from scripts.workspace.errors import BadInput

LIMIT = "changed wheels"
OURS = "ours"
FOUR = "four groups of before"
OPTIMIZED = "optimizer"
HELD_OUT = "optimizer, held out"
PER_ENVIRONMENT = "layer per environment"
ONE_LAYER = "one layer"
STACKED = "worker-a1111's order"

Patterns = Mapping[str, Sequence[str]]
STACK: Patterns = {
    "py-cuda": ("nvidia-*",),
    "py-torch": ("torch", "torchvision", "triton"),
    "py-attention": ("xformers",),
}
# The one NVIDIA wheel that torch 2.1.2 does not hold at one version; stack-cu121.in does.
LOOSE = "nvidia-nvjitlink-cu12"
APART: Patterns = {"py-nvjitlink": (LOOSE,)}
ALL: Patterns = {"py-webui": ("*",)}
# What workspace.toml had until 2026-11.
BEFORE: Patterns = {**STACK, **ALL}
LARGE = 20_000_000  # bytes


def by_patterns(name: str, groups: Patterns) -> Layering:
    """Return the layering of workspace.toml's [layers], with one more layer for the worker."""

    def layer_of(key: Key) -> str:
        if key.environment != "webui":
            return WORKER
        if (hit := first_match(key.package, groups)) is None:
            raise BadInput(f"workspace.toml: no pattern of [layers] matches {key.package}.")
        return hit[0]

    return Layering(name, layer_of)


def named(layers: Patterns, first: Snapshot, exact: Collection[str]) -> list[Layering]:
    """Return the groupings that need no history.

    `layers` are workspace.toml's, `first` says how large packages are, and `exact` which of the
    web UI's are held at one version.
    """
    pinned: Patterns = {**STACK, "py-pinned": sorted(exact)}
    large = sorted(
        key.package
        for key, wheel in first.items()
        if key.environment == "webui"
        and wheel.size >= LARGE
        and first_match(key.package, pinned) is None
    )
    alone: Patterns = {f"py-{package}": (package,) for package in large}
    made = [
        Layering(LIMIT, each_alone),
        by_patterns(OURS, layers),
        by_patterns(FOUR, BEFORE),
        by_patterns("pinned apart", {**pinned, **ALL}),
        by_patterns("pinned and large apart", {**pinned, **alone, **ALL}),
    ]
    if LOOSE not in exact:
        made += [
            by_patterns(f"{OURS}, nvjitlink apart", {**APART, **layers}),
            by_patterns(f"{FOUR}, nvjitlink apart", {**APART, **BEFORE}),
        ]
    return [
        *made,
        Layering(PER_ENVIRONMENT, per_environment),
        Layering(ONE_LAYER, all_together),
        # One RUN brings the web UI with its packages, the handler's come in a later one. Neither
        # is reproducible, so the second is another layer whenever the first is. The model between
        # them is copied from a stage of its own: the same file gives the same layer, not counted.
        Layering(STACKED, per_environment, stacked=("webui", "worker")),
    ]


def may_move(exact: Collection[str]) -> Callable[[Key], bool]:
    """Return whether a package of the web UI is free to move, going by what is pinned alone."""

    def is_free(key: Key) -> bool:
        if key.environment != "webui" or key.package in exact:
            return False
        return key.package == LOOSE or first_match(key.package, STACK) is None

    return is_free


def held(exact: Collection[str]) -> Layering:
    """Return the layers of what may not move, for an optimizer that places the others."""
    return by_patterns("held", {**STACK, "py-pinned": sorted(exact), **ALL})
