"""What was built: a record in JSON for each build, and the latest of a profile."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from scripts.build.recipe import Recipe
from scripts.lock.lockfile import digest_of_all
from scripts.workspace.errors import BadInput
from scripts.workspace.files import write_atomic
from scripts.workspace.git import git
from scripts.workspace.paths import BUILDS, LOCKFILES, ROOT, shown


class Frozen(BaseModel):
    """A record that is read back: immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Layer(Frozen):
    """A layer of the image; `size` is in bytes as stored and pulled, `unpacked` on disk."""

    name: str
    digest: str
    size: int | None
    unpacked: int | None
    cached: bool
    seconds: float


class StepRecord(Frozen):
    """A step of the build as BuildKit reported it.

    `queued` and `started` are in seconds after the first step was announced, `received` is in
    bytes; each is None where that was not told or, in the first schema, not kept.
    """

    name: str
    cached: bool
    seconds: float
    queued: float | None = None
    started: float | None = None
    received: int | None = None


class BuildRecord(Frozen):
    """One build of a profile.

    `lock_sha256` is over all lockfiles, `inputs_sha256` over everything that the build was given,
    `replaced` names the inputs that --context put something else for, and by `recipe` a later build
    tells what changed. `logs` leads, by layer and relative to the record's folder, to what its
    commands printed when it was made. What the second schema brought has defaults: a record of the
    first one is read.
    `attention` is what `attention = "auto"` came to, and by which results; empty where the profile
    names an option itself.
    `pushed` is where the image was pushed to, by the digest of what the tag means there: that of
    the image, or of the index that holds it and its attestations.
    """

    schema_version: int = 2
    profile: str
    image: str
    digest: str
    lock_sha256: str
    inputs_sha256: str
    replaced: dict[str, str]
    git_sha: str
    git_dirty: bool
    utc: str
    seconds: float
    engine: str
    layers: tuple[Layer, ...]
    steps: tuple[StepRecord, ...]
    recipe: Recipe | None = None
    logs: dict[str, str] = {}
    attention: str = ""
    pushed: str = ""


def save(record: BuildRecord) -> Path:
    """Write a record below .workspace/builds/; return its path."""
    folder = BUILDS / record.profile
    path = folder / f"{stamp(record.utc)}.json"
    text = record.model_dump_json(indent=2) + "\n"
    write_atomic(path, text)
    write_atomic(folder / "latest.json", text)
    return path


def stamp(utc: str) -> str:
    """Return a time as names of files and folders have it."""
    return utc.replace(":", "").replace("-", "")


def history(profile: str) -> Iterator[BuildRecord]:
    """Yield the records of a profile's builds, newest first; those of another schema are left out.

    Every build is in it that made an image, and none that found nothing to do.
    """
    for path in sorted((BUILDS / profile).glob("[0-9]*Z.json"), reverse=True):
        with suppress(ValidationError):
            yield BuildRecord.model_validate_json(path.read_text())


def latest(profile: str) -> BuildRecord | None:
    """Return the record of the newest build of a profile, or None when there was none.

    Raises BadInput for a record that cannot be read.
    """
    path = BUILDS / profile / "latest.json"
    if not path.exists():
        return None
    try:
        return BuildRecord.model_validate_json(path.read_text())
    except ValidationError as error:
        raise BadInput(
            f"{shown(path)} is no build record: {error.errors()[0]['msg']}.",
            hint=f"Build again: ./nox -s build -- --profile {profile}",
        ) from None


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def lock_digest() -> str:
    """Return the digest over all lockfiles as they are."""
    return digest_of_all({path.name: path.read_bytes() for path in LOCKFILES.iterdir()})


def git_state() -> tuple[str, bool]:
    """Return the commit of this checkout and whether it was changed since; '' outside of git."""
    if shutil.which("git") is None:
        return "", False
    sha = git("rev-parse", "--verify", "HEAD", folder=ROOT)
    changed = git("status", "--porcelain", folder=ROOT)
    return sha.stdout.strip(), bool(changed.stdout.strip())
