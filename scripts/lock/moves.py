"""What changes from one set of lockfiles to another, for a person to review."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.lock.lockfile import Pin, pins
from scripts.workspace.errors import BadInput
from scripts.workspace.paths import shown

ABSENT = "-"
# Columns that the lockfiles have at least, however narrow the terminal is.
LEAST = 20


@dataclass(frozen=True)
class Move:
    """One package or other pin that moved: its versions (or digests), and in which lockfiles."""

    name: str
    old: str
    new: str
    targets: tuple[str, ...]

    @property
    def package(self) -> str:
        """The name without the marker that it may have in a universal lock."""
        return self.name.partition(" (")[0]


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
    """Return the moves as a table: old -> new, and where. What does not fit its column folds."""
    made = Table(box=None, pad_edge=False)
    for title in ("what", "old", "", "new", "lockfiles"):
        made.add_column(title, overflow="fold")
    for move in found:
        # The marker of a universal lock can be long: it folds with the lockfiles.
        name, _, marker = move.name.removesuffix(")").partition(" (")
        where = f"{len(move.targets)}: {', '.join(short(move.targets))}"
        words = (name, move.old, "->", move.new, f"{where} where {marker}" if marker else where)
        # As Text: in a plain word, rich would take [brackets] for its markup.
        made.add_row(*(Text(word) for word in words))
    return made


def print_table(console: Console, found: Iterable[Move]) -> None:
    """Print the table: each move on one line, but that on a terminal its last column folds."""
    made = table(found)
    for column in made.columns[:-1]:
        column.no_wrap = True
    wide = made.__rich_measure__(console, console.options.update_width(10_000)).maximum
    if console.is_terminal:
        last = max((cell_len(str(cell)) for cell in made.columns[-1].cells), default=0)
        wide = max(console.width, wide - last + LEAST)
    # Rich by itself cuts what is wider than the terminal, and takes a pipe for 80 columns.
    for line in console.render_lines(made, console.options.update_width(wide), pad=False):
        text = "".join(segment.text for segment in line)
        console.print(Text(text.rstrip()), soft_wrap=True)


def short(names: Iterable[str]) -> list[str]:
    """Return names with what they share written once, as a shell's braces do: `a-{b,c}`."""
    rests: dict[str, set[str]] = {}
    for name in names:
        head, dash, rest = name.partition("-")
        # A name that ends here stands for itself, beside those that go on.
        rests.setdefault(head + dash, set()).add(rest)
    heads: dict[frozenset[str], list[str]] = {}
    for head, tails in sorted(rests.items()):
        heads.setdefault(frozenset(tails), []).append(head)
    return [
        together
        for tails, alike in heads.items()
        for together in (
            alike
            if tails == {""}
            else [_braces([head.removesuffix("-") for head in alike]) + "-" + _braces(short(tails))]
        )
    ]


def _braces(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{{{','.join(words)}}}"


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
