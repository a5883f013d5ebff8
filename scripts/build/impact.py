"""What a change makes a build do again, told from recipes before anything is built."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.build.recipe import FORM, IMAGE, Part, Recipe, is_means

# How many reasons a person is shown of a layer.
SHOWN = 4
# no: its steps are cached. again: they run again on the same packages or files, but in another way.
# new: on others. goes: the image no longer has it.
Change = Literal["no", "again", "new", "goes"]


@dataclass(frozen=True)
class Effect:
    """What happens to a layer; `size` is what it adds to a push or a pull, in bytes, if known.

    One that is made again adds so much at most: nothing, unless the other way gives other files.
    """

    layer: str
    change: Change
    size: int | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """A build that was done: its recipe, and its layers as they were stored, in bytes."""

    recipe: Recipe
    sizes: Mapping[str, int]


def effects(
    before: Recipe,
    after: Recipe,
    measured: Measured | None = None,
    first: Collection[str] = (),
) -> list[Effect]:
    """Return what becomes of each layer of `after`, from the bottom up, then what goes.

    How large a new layer will be is told from `measured`; one that it lacks is taken to be as large
    as what is downloaded for it. Of the reasons, those come `first` that are due to these packages.
    """
    found = [_effect(name, before, after, measured) for name in after.layers()]
    gone = [name for name in before.layers() if name not in after.layers()]
    found += [Effect(name, "goes", 0, ("the image no longer has it",)) for name in gone]
    return [replace(each, reasons=_in_front(each.reasons, first)) for each in found]


def _in_front(reasons: Sequence[str], first: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(reasons, key=lambda reason: reason.split()[0] not in first))


def _effect(name: str, before: Recipe, after: Recipe, measured: Measured | None) -> Effect:
    known = name in before.layers()
    if known and before.key(name) == after.key(name):
        return Effect(name, "no", 0, ())
    was, now = _parts(before, name), _parts(after, name)
    reasons = list(_reasons(was, now)) if known else ["the layer is new"]
    change: Change = "new" if reasons else "again"
    # What is not copied from a stage is written on what lies below it.
    if name in after.below() and before.key("base") != after.key("base"):
        change = "new"
    size = _estimate(name, now, measured)
    if change == "again":
        return Effect(name, "again", size, tuple(_means(name, before, after)))
    return Effect(name, "new", size, tuple(reasons) or ("base changed",))


def _parts(recipe: Recipe, layer: str) -> dict[str, Part]:
    return {name: recipe.parts[name] for name in recipe.layers().get(layer, ())}


def _estimate(layer: str, now: Mapping[str, Part], measured: Measured | None) -> int | None:
    """Return the size of a new layer in bytes.

    That is what was stored, and of what comes and goes as much as is downloaded for it.
    """
    if any(item.size is None for part in now.values() for item in part.items.values()):
        return None
    downloads = sum(part.size for part in now.values())
    if measured is None or layer not in measured.sizes:
        return downloads
    before = sum(part.size for part in _parts(measured.recipe, layer).values())
    return max(0, measured.sizes[layer] + downloads - before)


def _reasons(was: Mapping[str, Part], now: Mapping[str, Part]) -> Iterator[str]:
    """Yield what differs between the parts of a layer, item by item."""
    old, new = (
        {name: item.value for part in parts.values() for name, item in part.items.items()}
        for parts in (was, now)
    )
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield _reason(name, old.get(name), new.get(name))


def _reason(name: str, old: str | None, new: str | None) -> str:
    if old is None or new is None:
        return f"{name} {'is new' if old is None else 'goes'}"
    left, right = old.split()[0], new.split()[0]
    # A version stands before the digest; where it is the same, or there is none, say no more.
    versions = " " in old and " " in new and left != right
    return f"{name} {left} -> {right}" if versions else f"{name} changed"


def _means(name: str, before: Recipe, after: Recipe) -> Iterator[str]:
    """Yield why steps run again though what fills the layer is the same."""
    behind = dict.fromkeys((*before.behind(name), *after.behind(name)))
    for part in sorted(filter(is_means, behind)):
        was, now = ({part: each.parts.get(part, Part(items={}))} for each in (before, after))
        context = part.partition("/")[0]
        yield from (f"{context}: {reason}" for reason in _reasons(was, now))
    for each in behind:
        old, new = before.stages.get(each), after.stages.get(each)
        if old and new and old.instructions != new.instructions:
            stage = each if each == name else each.removeprefix(f"{name}/")
            where = "its Dockerfile" if name == "source" else "docker/Dockerfile"
            yield f"{where}: the steps of {stage} changed"


def configuration_changes(before: Recipe, after: Recipe) -> bool:
    """Return whether the image's configuration changes, which is in no layer."""
    old, new = (
        [text for text in recipe.stages[IMAGE].instructions if not text.startswith("COPY")]
        for recipe in (before, after)
    )
    return old != new or before.parts.get(FORM) != after.parts.get(FORM)


def show(found: Sequence[Effect], console: Console) -> None:
    """Print what becomes of each layer, why, and how much has to be pushed and pulled."""
    table = Table(box=None, pad_edge=False)
    for title in ("layer", "", "MB", "why"):
        table.add_column(title, justify="right" if title == "MB" else "left", overflow="fold")
    for effect in found:
        words = {"no": "cached", "again": "runs again", "new": "new", "goes": "goes"}
        size = f"{effect.size / 1e6:,.2f}" if effect.size is not None else "unknown"
        table.add_row(
            effect.layer,
            words[effect.change],
            size if effect.change == "new" else "",
            Text(_listed(effect.reasons)),
            style="dim" if effect.change == "no" else "",
        )
    console.print(table)
    new = [effect for effect in found if effect.change == "new"]
    gone = [effect for effect in found if effect.change == "goes"]
    total = sum(effect.size or 0 for effect in new)
    rest = [effect.layer for effect in new if effect.size is None]
    unknown = f", and {', '.join(rest)}, whose size is not known" if rest else ""
    console.print(
        f"{len(new)} of {len(found) - len(gone)} layers are new: about {total / 1e6:,.2f} MB to "
        f"push, and for each worker to pull{unknown}.",
        highlight=False,
        soft_wrap=True,
    )
    if again := [effect for effect in found if effect.change == "again"]:
        most = sum(effect.size or 0 for effect in again)
        console.print(
            f"{', '.join(effect.layer for effect in again)}: made again from the same packages and "
            "files. What is stored stays as it is unless the other way to make it gives other "
            f"files: {most / 1e6:,.2f} MB more at most.",
            highlight=False,
            soft_wrap=True,
        )


def _listed(reasons: Sequence[str]) -> str:
    more = len(reasons) - SHOWN
    return ", ".join(reasons[:SHOWN]) + (f" and {more} more" if more > 0 else "")
