"""sdists.toml: what some sdists need, so that none of their code runs to find out."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tomli
from pydantic import TypeAdapter

from scripts.lock.lockfile import Pin
from scripts.workspace.model import Names, Record
from scripts.workspace.paths import shown

FILE = Path(__file__).with_name("sdists.toml")


class Sdist(Record):
    """A release of which there is an sdist alone; `requires` is what its build would say."""

    version: str
    sha256: str
    requires: Names


@cache
def described() -> Mapping[str, Sdist]:
    """Return the rows, by the package's name."""
    return TypeAdapter(dict[str, Sdist]).validate_python(tomli.loads(FILE.read_text()))


def settings() -> list[dict[str, Any]]:
    """Return the rows as uv's setting `dependency-metadata`."""
    return [
        {"name": name, "version": row.version, "requires-dist": list(row.requires)}
        for name, row in described().items()
    ]


def others(pins: Sequence[Pin]) -> Iterator[str]:
    """Yield a sentence for each package of a lock that a row describes, but of another file."""
    for pin in pins:
        row = described().get(pin.name)
        if row and row.version == pin.version and f"sha256:{row.sha256}" not in pin.hashes:
            yield (
                f"{pin.name}=={pin.version} is another file than {shown(FILE)} describes "
                f"(sha256:{row.sha256}): take the row out."
            )
