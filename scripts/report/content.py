"""What the page consists of: sections of charts, each with its table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Cell = str | int | float | bool | None
Figure = Mapping[str, Any]
"""A chart as plotly.js takes it: `data` and `layout`. Its colours are variables of page.css."""


@dataclass(frozen=True)
class Column:
    """A column of a table; `form` is how Python formats its numbers, `key` their name as JSON."""

    key: str
    title: str
    form: str = ""

    def text(self, cell: Cell) -> str:
        """Return a cell for a person; a dash where there is nothing."""
        if cell is None or cell == "":
            return "-"
        if isinstance(cell, bool):
            return "yes" if cell else "no"
        return format(cell, "" if isinstance(cell, str) else self.form)


@dataclass(frozen=True)
class Table:
    """Rows of raw values, one for each column: what the page shows and what its JSON holds."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def records(self) -> list[dict[str, Cell]]:
        """Return the rows as objects."""
        keys = [column.key for column in self.columns]
        return [dict(zip(keys, map(_finite, row), strict=True)) for row in self.rows]


def _finite(cell: Cell) -> Cell:
    """Return None for the end of an interval that has none: JSON knows no infinity."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


@dataclass(frozen=True)
class View:
    """One of a chart's figures, `note` a sentence on it: what it was measured on, say."""

    label: str
    figure: Figure
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart with its table; of several views, the page shows the one that is chosen.

    `choice` says what is chosen. `description` is for whoever cannot see it.
    """

    title: str
    description: str
    views: Sequence[View]
    table: Table
    choice: str = "Show"


@dataclass(frozen=True)
class Missing:
    """What a section lacks, and the command that makes it."""

    what: str
    command: str


@dataclass(frozen=True)
class Section:
    """A part of the page; `lead` says what is shown and how to read it."""

    id: str
    title: str
    lead: str
    charts: Sequence[Chart] = ()
    missing: Missing | None = None


@dataclass(frozen=True)
class Fact:
    """A figure for the head of the page."""

    value: str
    label: str


@dataclass(frozen=True)
class Page:
    """The whole page; `runs` is the table of what all measurements were made on."""

    facts: Sequence[Fact]
    sections: Sequence[Section]
    runs: Table
    problems: Sequence[str]
