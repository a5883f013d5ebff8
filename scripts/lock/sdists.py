"""sdists.toml: what some sdists need, so that none of their code runs to find out."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tomli
from packaging.utils import canonicalize_version
from pydantic import TypeAdapter, ValidationError

from scripts.lock.facts import refusal
from scripts.lock.lockfile import Pin
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Names, PackageName, Record
from scripts.workspace.paths import shown

FILE = Path(__file__).with_name("sdists.toml")


class Sdist(Record):
    """A release of which there is an sdist alone; `requires` is what its build would say."""

    version: str
    sha256: str
    requires: Names


@cache
def described() -> Mapping[str, Sdist]:
    """Return the committed rows by the package's name; raises BadInput as `parse` does."""
    return parse(FILE.read_text(), shown(FILE))


def parse(text: str, file: str) -> Mapping[str, Sdist]:
    """Return the rows that `text` states; raises BadInput that names `file` and what is wrong."""
    try:
        return TypeAdapter(dict[PackageName, Sdist]).validate_python(tomli.loads(text))
    except tomli.TOMLDecodeError as error:
        raise BadInput(f"{file}: {error}.") from None
    except ValidationError as error:
        raise refusal(error, file) from None


def settings() -> list[dict[str, Any]]:
    """Return the rows as uv's setting `dependency-metadata`."""
    return [
        {"name": name, "version": row.version, "requires-dist": list(row.requires)}
        for name, row in described().items()
    ]


def others(pins: Sequence[Pin]) -> Iterator[str]:
    """Yield a sentence for each package of a lock that a row describes, but of other files.

    uv takes a row by name and version alone, also where the registry has a wheel.
    """
    for pin in pins:
        row = described().get(pin.name)
        if row is None or canonicalize_version(row.version) != canonicalize_version(pin.version):
            continue
        if pin.hashes != (f"sha256:{row.sha256}",):
            yield (
                f"{pin.name}=={pin.version} is not the one file that {shown(FILE)} describes "
                f"(sha256:{row.sha256}): take its row out."
            )
