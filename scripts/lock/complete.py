"""Whether a lock is complete: what pip, uv or an image build would stumble over later."""

import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path

import tomli
from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from scripts.lock import sdists
from scripts.lock.lockfile import Pin
from scripts.lock.releases import Artifact, Release, applies, installed
from scripts.workspace.download import Login, fetch
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Workspace
from scripts.workspace.paths import CACHE

# What pip and uv install for an sdist that does not say what builds it, PEP 518.
DEFAULT_BUILD = ("setuptools>=40.8.0",)


@dataclass(frozen=True)
class Resolved:
    """A target's packages as the resolver gave them, and what the registry has of each.

    `below` are the names of the lock that this one extends, `yanked` the reasons by
    `name==version`. `pythons` are those it must install on.
    """

    pins: Sequence[Pin]
    releases: Sequence[Release]
    below: frozenset[str]
    yanked: Mapping[str, str]
    pythons: Sequence[str]
    universal: bool


def problems(
    resolved: Resolved,
    workspace: Workspace,
    cutoffs: Mapping[str, datetime],
    build: Sequence[Pin],
    login: Callable[[str], Login | None],
) -> Iterator[str]:
    """Yield a sentence for each reason to reject a lock.

    `cutoffs` are the instants from which on nothing is considered, by package, `*` for all others;
    `build` is the lock of what builds sdists, and `login` tells how to log in to fetch a URL.
    """
    yield from sdists.others(resolved.pins)
    platform = workspace.lock.platform
    pinned = {(pin.name, pin.version): pin for pin in resolved.pins}
    for release in resolved.releases:
        if release.name in resolved.below:
            continue
        title = f"{release.name}=={release.version}"
        pin = pinned.get((release.name, release.version))
        if pin is None:
            yield f"{title} is needed, but it is not in the lock."
            continue
        if title in resolved.yanked:
            yield f"{title} was yanked: {resolved.yanked[title] or 'no reason is given'}"
        limit = cutoffs.get(release.name, cutoffs["*"])
        for python in resolved.pythons:
            if resolved.universal and not applies(release.marker, python, platform):
                continue
            file = installed(release, python, platform)
            if file is None:
                yield (
                    f"{title} has no wheel for Python {python} on {platform}, and no sdist: "
                    f"{', '.join(sorted(wheel.name for wheel in release.wheels)) or 'no file'}."
                )
                break
            if file.uploaded >= limit:
                yield f"{file.name} was uploaded at {file.uploaded:%Y-%m-%d %H:%M} UTC, too late."
            if f"sha256:{file.sha256}" not in pin.hashes:
                yield f"{file.name} is what Python {python} installs, but its hash is not locked."
            if file is release.sdist:
                here = partial(applies, python=python, platform=platform)
                asked = build_requirements(file, login(file.url))
                yield from _unlocked_build(title, asked, build, here)
                break


def _unlocked_build(
    title: str, asked: Sequence[str], build: Sequence[Pin], here: Callable[[Marker | None], bool]
) -> Iterator[str]:
    there = {pin for pin in build if here(Requirement(pin.requirement).marker)}
    for text in asked:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            yield f"{title} has no wheel that fits, and asks for {text!r} to build it."
            continue
        if not here(requirement.marker):
            continue
        name = canonicalize_name(requirement.name)
        versions = [pin.version for pin in there if pin.name == name]
        if not any(requirement.specifier.contains(version, True) for version in versions):
            held = f"holds {name} {', '.join(versions)}" if versions else f"does not hold {name}"
            yield (
                f"{title} has no wheel that fits, and building it needs {requirement}: "
                f"lockfiles/build.txt {held}; requirements/build.in is where to ask for it."
            )


def build_requirements(sdist: Artifact, login: Login | None) -> Sequence[str]:
    """Return what an sdist says builds it; it is fetched once, by its hash."""
    path = CACHE / "sdists" / sdist.sha256 / sdist.name
    fetch([sdist.url], path, sdist.sha256, sdist.size, login)
    return _requirements(path)


@cache
def _requirements(path: Path) -> Sequence[str]:
    text = _pyproject(path)
    system = tomli.loads(text).get("build-system", {}) if text else {}
    return list(system.get("requires", DEFAULT_BUILD))


def _pyproject(path: Path) -> str:
    """Return the text of the pyproject.toml in the top folder of an sdist, or nothing."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return next(
                    (archive.read(name).decode() for name in archive.namelist() if _top(name)), ""
                )
        with tarfile.open(path) as tar:
            for member in tar:
                if _top(member.name) and (file := tar.extractfile(member)):
                    return file.read().decode()
    except (tarfile.TarError, zipfile.BadZipFile, UnicodeDecodeError) as reason:
        raise BadInput(f"{path.name} cannot be read: {reason}") from None
    return ""


def _top(name: str) -> bool:
    parts = Path(name).parts
    return len(parts) == 2 and parts[1] == "pyproject.toml"
