"""What the report is made from: committed results, and what this machine built and measured."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from scripts.bench import schema
from scripts.bench.exports.figures import device
from scripts.bench.rebuild.output import Build
from scripts.bench.replay.evaluate import Pull
from scripts.bench.verdicts.rates import Rate
from scripts.build.record import BuildRecord
from scripts.workspace.errors import BadInput
from scripts.workspace.paths import shown

Row = TypeVar("Row", Build, Pull, Rate)


@dataclass(frozen=True)
class Taken:
    """A run; `recorded` says whether it is committed or only on this machine."""

    run: schema.Run
    recorded: bool


class Change(schema.Record):
    """A change point: a case's median moved by `ratio` between two runs that follow each other."""

    case: str
    measure: str
    before: str
    after: str
    ratio: float
    p: float
    because: tuple[str, ...]


class Changes(schema.Record):
    """benchmarks/DEVICE/changes.json, which `bench -- --record` keeps."""

    schema_version: Literal[1] = Field(alias="schema")
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Sources:
    """All that was found.

    `runs` are by device, in words, and the oldest first; `builds`, `rebuilds` and `pulls` by
    profile. `problems` are sentences, one for each file that could not be read.
    """

    runs: Mapping[str, tuple[Taken, ...]]
    changes: tuple[Change, ...]
    builds: Mapping[str, BuildRecord]
    rebuilds: Mapping[str, tuple[Build, ...]]
    pulls: Mapping[str, tuple[Pull, ...]]
    rates: tuple[Rate, ...]
    problems: tuple[str, ...]


def read(benchmarks: Path, workspace: Path) -> Sources:
    """Return what the two folders hold; a file that cannot be read is a problem, no failure."""
    problems: list[str] = []
    runs: dict[str, Taken] = {}
    # The committed ones last: a run that was recorded is one also where its first file is left.
    for recorded, paths in (
        (False, sorted((workspace / "bench").glob("*.json"))),
        (True, sorted(benchmarks.glob("*/runs/*.json"))),
    ):
        for path in paths:
            try:
                run = schema.load(path)
            except BadInput as error:
                problems.append(error.message)
            else:
                runs[run.run_id] = Taken(run, recorded)
    by_device: dict[str, list[Taken]] = {}
    for taken in sorted(runs.values(), key=lambda taken: (taken.run.utc, taken.run.run_id)):
        by_device.setdefault(device(taken.run), []).append(taken)
    return Sources(
        runs={name: tuple(found) for name, found in sorted(by_device.items())},
        changes=tuple(_changes(benchmarks, problems)),
        builds={record.profile: record for record in _builds(workspace / "builds", problems)},
        rebuilds=_by_folder(benchmarks.glob("rebuild/*/builds.csv"), Build, problems),
        pulls=_by_folder(benchmarks.glob("replay/*/pulls.csv"), Pull, problems),
        rates=tuple(_rows(benchmarks / "verdicts" / "rates.csv", Rate, problems)),
        problems=tuple(problems),
    )


def _changes(benchmarks: Path, problems: list[str]) -> Iterator[Change]:
    for path in sorted(benchmarks.glob("*/changes.json")):
        try:
            yield from Changes.model_validate_json(path.read_bytes()).changes
        except (OSError, ValidationError) as error:
            problems.append(_unreadable(path, error))


def _builds(folder: Path, problems: list[str]) -> Iterator[BuildRecord]:
    """Yield the newest build of each profile."""
    for path in sorted(folder.glob("*/latest.json")):
        try:
            yield BuildRecord.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            problems.append(_unreadable(path, error))


def _by_folder(
    paths: Iterator[Path], kind: type[Row], problems: list[str]
) -> dict[str, tuple[Row, ...]]:
    """Return the rows of each file that has some, by the name of its folder."""
    found = {path.parent.name: tuple(_rows(path, kind, problems)) for path in sorted(paths)}
    return {name: rows for name, rows in found.items() if rows}


def _rows(path: Path, kind: type[Row], problems: list[str]) -> list[Row]:
    """Return the rows of a CSV file; none of a file that is not there, or not all right."""
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = TypeAdapter(kind)
            return [reader.validate_python(row) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error, ValidationError) as error:
        problems.append(_unreadable(path, error))
        return []


def _unreadable(path: Path, error: Exception) -> str:
    """Return a sentence with the first of what is wrong."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{shown(path)} cannot be read: {where}: {first['msg']}."
    return f"{shown(path)} cannot be read: {error}."
