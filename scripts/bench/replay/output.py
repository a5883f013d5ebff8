"""The results as files and as tables for a person: the same results give the same bytes."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import TypeVar

from rich import box
from rich.table import Table

from scripts.bench.replay.evaluate import Evaluated, Package, Pull, Trial
from scripts.bench.replay.history import History
from scripts.bench.replay.plot import png
from scripts.workspace.files import write_atomic


@dataclass(frozen=True)
class Lock:
    """A target's lock at the end of a month; `lifted`: all its lower bounds, if one was not met."""

    month: date
    target: str
    without: str
    packages: int
    total_bytes: int
    lifted: str


Row = TypeVar("Row", Lock, Package, Pull, Trial)


def locks(history: History) -> list[Lock]:
    """Return a row for each lock of a history."""
    return [
        Lock(
            month=each.day,
            target=each.target,
            without=" ".join(each.without),
            packages=len(each.packages),
            total_bytes=sum(wheel.size for wheel in each.packages.values()),
            lifted=" ".join(each.lifted),
        )
        for each in history.locks
    ]


def csv_text(kind: type[Row], rows: Sequence[Row]) -> str:
    """Return a CSV file with a column for each field; its lines end as Unix ends them."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return out.getvalue()


def files(
    histories: Mapping[str, History], found: Mapping[str, Evaluated], title: str
) -> dict[str, bytes]:
    """Return the content of each file by name; both mappings are by the requirements left out.

    Rows of one month stand together, so that a new month adds lines at the end alone.
    """
    pulls = sorted(
        (row for each in found.values() for row in each.pulls), key=lambda row: row.month
    )
    # A target that asks for none of what is left out has the same lock twice.
    months = sorted(
        dict.fromkeys(row for each in histories.values() for row in locks(each)),
        key=lambda row: row.month,
    )
    trials = [row for each in found.values() for row in each.trials]
    packages = [row for each in found.values() for row in each.packages]
    texts = {
        "pulls.csv": csv_text(Pull, pulls),
        "locks.csv": csv_text(Lock, months),
        "packages.csv": csv_text(Package, packages),
        "optimizer.csv": csv_text(Trial, trials),
    }
    return {name: text.encode() for name, text in texts.items()} | {"pulls.png": png(pulls, title)}


def write(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write the files, each whole or not at all."""
    for name, data in content.items():
        write_atomic(folder / name, data)


def table(pulls: Sequence[Pull], title: str) -> Table:
    """Return what every grouping comes to over all bumps and over each half of them."""
    months = sorted({row.month for row in pulls})
    half = len(months) // 2
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("grouping", no_wrap=True)
    for name in ("layers", "MB in all", "MB a bump", f"first {half}", f"last {len(months) - half}"):
        made.add_column(name, justify="right", no_wrap=True)
    for grouping, rows in by_grouping(pulls).items():
        sizes = [row.pulled_bytes for row in rows]
        made.add_row(
            grouping,
            str(rows[0].layers),
            megabytes(sum(sizes)),
            megabytes(sum(sizes) / len(sizes)),
            megabytes(sum(sizes[:half])),
            megabytes(sum(sizes[half:])),
        )
    return made


def by_grouping(pulls: Sequence[Pull]) -> dict[str, list[Pull]]:
    """Return the rows of each grouping by month; what pulls least comes first."""
    names = dict.fromkeys(row.grouping for row in pulls)
    found = {name: [row for row in pulls if row.grouping == name] for name in names}
    ordered = sorted(found.items(), key=lambda each: sum(row.pulled_bytes for row in each[1]))
    return {name: sorted(rows, key=lambda row: row.month) for name, rows in ordered}


def megabytes(size: float) -> str:
    """Return bytes as MB (10^6 bytes) for a table."""
    return f"{size / 1e6:,.0f}"
