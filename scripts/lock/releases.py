"""What the registry has of each locked package: its files, and the one that a target installs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Any
from urllib.parse import unquote, urlparse

import tomli
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    BuildTag,
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)

from scripts.workspace.errors import Failure


@dataclass(frozen=True)
class Artifact:
    """A wheel or an sdist; `size` in bytes, `sha256` in hexadecimal."""

    url: str
    size: int
    uploaded: datetime
    sha256: str

    @cached_property
    def name(self) -> str:
        """The file's name."""
        return unquote(urlparse(self.url).path).rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Release:
    """One version of a package, with the files that the registry had at the cutoff."""

    name: str
    version: str
    marker: Marker | None
    sdist: Artifact | None
    wheels: tuple[Artifact, ...]


def read(pylock: str) -> list[Release]:
    """Return the releases of a pylock.toml (PEP 751) that uv made."""
    return [
        Release(
            name=canonicalize_name(package["name"]),
            version=package["version"],
            marker=Marker(package["marker"]) if "marker" in package else None,
            sdist=_artifact(package["sdist"]) if "sdist" in package else None,
            wheels=tuple(_artifact(wheel) for wheel in package.get("wheels", ())),
        )
        for package in tomli.loads(pylock).get("packages", ())
    ]


def _artifact(table: Mapping[str, Any]) -> Artifact:
    try:
        digest = table["hashes"]["sha256"]
        return Artifact(table["url"], table["size"], table["upload-time"], digest)
    except KeyError as missing:
        raise Failure(
            f"the package registry does not tell the {missing} of {table.get('url')}.",
            hint="A registry must serve sizes, upload times and SHA-256, as PyPI does.",
        ) from None


def installed(release: Release, python: str, platform: str) -> Artifact | None:
    """Return the file that an installer takes: the best wheel that fits, else the sdist, or None.

    Of several builds of one wheel it is the last. `python` is a version such as `3.11`, `platform`
    one that uv knows, such as `x86_64-manylinux_2_28`.
    """
    rank = _rank(python, platform)
    fitting: dict[Artifact, tuple[int, BuildTag]] = {}
    for wheel in release.wheels:
        build, tags_of_wheel = _parsed(wheel.name)
        places = [rank[tag] for tag in tags_of_wheel if tag in rank]
        if places:
            fitting[wheel] = (-min(places), build)
    return max(fitting, key=lambda wheel: fitting[wheel], default=release.sdist)


# Asked for thousands of wheels by each lock, and for many of them by several: kept.
@cache
def _rank(python: str, platform: str) -> Mapping[Tag, int]:
    return {tag: place for place, tag in enumerate(tags(python, platform))}


@cache
def _parsed(wheel: str) -> tuple[BuildTag, frozenset[Tag]]:
    """Return a wheel's build and its tags; none of a name that no installer takes for a wheel's."""
    try:
        return parse_wheel_filename(wheel)[2:]
    except InvalidWheelFilename:
        return (), frozenset()


@cache
def tags(python: str, platform: str) -> Sequence[Tag]:
    """Return the wheel tags that fit CPython `python` on a manylinux platform, the best first."""
    machine, _, glibc = platform.partition("-manylinux_2_")
    # PEP 600: a system runs what was built for any older glibc; the three old names are PEP 513's
    # and its successors', https://peps.python.org/pep-0600/#legacy-manylinux-tags.
    legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    names = []
    for minor in range(int(glibc), 4, -1):
        names.append(f"manylinux_2_{minor}_{machine}")
        if minor in legacy:
            names.append(f"{legacy[minor]}_{machine}")
    names.append(f"linux_{machine}")
    version = tuple(int(part) for part in python.split("."))
    interpreter = f"cp{python.replace('.', '')}"
    return [
        *cpython_tags(version, platforms=names),
        *compatible_tags(version, interpreter, names),
    ]


def applies(marker: Marker | None, python: str, platform: str) -> bool:
    """Return whether what has this marker is installed there."""
    if marker is None:
        return True
    here: dict[str, str] = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": platform.partition("-")[0],
    }
    return marker.evaluate(here)
