"""What changes from one set of lockfiles to another, for a person to review."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli
from rich.table import Table

from scripts.lock.lockfile import Pin, pins
from scripts.workspace.errors import BadInput
from scripts.workspace.paths import shown

ABSENT = "-"


@dataclass(frozen=True)
class Move:
    """One package or other pin that moved: its versions (or digests), and in which lockfiles."""

    name: str
    old: str
    new: str
    targets: tuple[str, ...]


# What a pin is shown as, and what makes it the same pin.
Word = tuple[str, object]


def moves(old: Mapping[Path, str], new: Mapping[Path, str]) -> list[Move]:
    """Return what moved between the texts of two sets of lockfiles, by name."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for path in sorted(old.keys() | new.keys()):
        before, after = (_words(path, texts.get(path, "")) for texts in (old, new))
        for name in before.keys() | after.keys():
            was, now = before.get(name, (ABSENT, None)), after.get(name, (ABSENT, None))
            if was != now:
                same = ", other files" if was[0] == now[0] else ""
                found.setdefault((name, was[0], now[0] + same), []).append(path.stem)
    return [Move(*key, tuple(targets)) for key, targets in sorted(found.items())]


def _words(path: Path, text: str) -> dict[str, Word]:
    """Return the pins of a lockfile; of one that is missing or damaged, none."""
    try:
        if path.suffix == ".txt":
            return dict(_packages(pins(text)))
        return dict(_values(tomli.loads(text)))
    except (BadInput, tomli.TOMLDecodeError):
        return {}


def _packages(found: Iterable[Pin]) -> Iterator[tuple[str, Word]]:
    for pin in found:
        marker = pin.requirement.partition(";")[2].strip()
        yield f"{pin.name} ({marker})" if marker else pin.name, (pin.version, pin.hashes)


def _values(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, Word]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _values(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for item in value:
                yield from _values(item, f"{prefix}{key}.{item.get('path', '')}.")
        else:
            text = str(value)
            # A digest's beginning is enough to tell it from another.
            yield f"{prefix}{key}", (text if len(text) <= 40 else f"{text[:19]}...", text)


def table(found: Iterable[Move]) -> Table:
    """Return the moves as a table: old -> new, and where."""
    made = Table("what", "old", "", "new", "lockfiles", box=None, pad_edge=False)
    for move in found:
        made.add_row(move.name, move.old, "->", move.new, ", ".join(move.targets))
    return made


def diff(old: Mapping[Path, str], new: Mapping[Path, str]) -> str:
    """Return the unified diff of the texts of two sets of files."""
    parts: list[str] = []
    for path in sorted(old.keys() | new.keys()):
        parts += difflib.unified_diff(
            old.get(path, "").splitlines(keepends=True),
            new.get(path, "").splitlines(keepends=True),
            f"a/{shown(path)}" if path in old else "/dev/null",
            f"b/{shown(path)}" if path in new else "/dev/null",
        )
    return "".join(parts)
