"""One build of a profile: its inputs brought together, buildx bake run, the outcome recorded."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound
from rich.console import Console

from scripts.build import bake, buildx, contexts
from scripts.build.engine import Engine
from scripts.build.image import layers
from scripts.build.record import BuildRecord, StepRecord, git_state, latest, now, save
from scripts.lock.pins import entries
from scripts.workspace.errors import BadInput
from scripts.workspace.files import exclusive, require_space, write_atomic
from scripts.workspace.model import Workspace
from scripts.workspace.paths import BUILDS, DOCKER, ENGINE, LOCKFILES

# Measured with the cu121 stack: packages unpacked in uv's cache, in the stage, in its copy for the
# image and in the image (7 GB each), and compressed once (3 GB).
FIRST_BUILD = 32_000_000_000
NEXT_BUILD = 3_000_000_000


def build(
    workspace: Workspace, name: str, context: list[str], engine: Engine, console: Console
) -> tuple[BuildRecord, bool]:
    """Build a profile's image; return its record and whether anything had to be done.

    Raises BadInput for wrong arguments or inputs, Failure with the failed step and its last lines.
    """
    profile = workspace.profile(name)
    replaced = bake.replacements(context, contexts.replaceable())
    with exclusive(BUILDS / f"{name}.lock", f"a build of {name}"):
        started = time.monotonic()
        folders = contexts.inputs(workspace, name, replaced)
        given = {
            key: str(contexts.replacing(key, Path(value))) if value.startswith("/") else value
            for key, value in replaced.items()
        }
        image = _base(workspace, name)
        reference = bake.image_name(name)
        with buildx.secrets() as secrets:
            definition = bake.definition(
                name, profile, folders, image, given, secrets, buildx.exporter(reference)
            )
            file = BUILDS / name / "bake.json"
            write_atomic(file, bake.render(definition))
            inputs = _inputs_digest(folders, definition)
            before = _before(name)
            same = before is not None and before.inputs_sha256 == inputs
            if before and same and not _floating(given) and _present(engine, before):
                return before, False
            require_space(
                ENGINE if engine.embedded else BUILDS,
                NEXT_BUILD if before else FIRST_BUILD,
                f"building {name}",
            )
            steps = {}
            for target in bake.order(definition):
                steps[target], digest = buildx.bake(engine, file, target, console)
        sha, dirty = git_state()
        record = BuildRecord(
            profile=name,
            image=reference,
            digest=digest,
            lock_sha256=_lock_digest(),
            inputs_sha256=inputs,
            replaced=replaced,
            git_sha=sha,
            git_dirty=dirty,
            utc=now(),
            seconds=round(time.monotonic() - started, 1),
            engine=f"{'embedded' if engine.embedded else 'own'}, {_version(engine)}",
            layers=tuple(layers(engine, reference, steps)),
            steps=tuple(
                StepRecord(name=step.name, cached=step.cached, seconds=round(step.seconds(), 2))
                for each in steps.values()
                for step in each
            ),
        )
        save(record)
        return record, True


def _base(workspace: Workspace, name: str) -> str | None:
    base = workspace.profile(name).base
    if base.image is None:
        return None
    pin = entries("images").get(base.image)
    if pin is None:
        raise BadInput(f"images.{base.image} is not pinned.", hint="Run ./nox -s lock")
    return f"{pin['reference']}@{pin['digest']}"


def _present(engine: Engine, record: BuildRecord) -> bool:
    try:
        return bool(engine.client(30).images.get(record.image).id == record.digest)
    except ImageNotFound:
        return False


def _version(engine: Engine) -> str:
    return "Docker " + str(engine.client(30).version()["Version"])


def _lock_digest() -> str:
    seen = hashlib.sha256()
    for path in sorted(LOCKFILES.iterdir()):
        seen.update(path.name.encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()


def _before(name: str) -> BuildRecord | None:
    """Return the newest record; none when it cannot be read, for then the build makes a new one."""
    try:
        return latest(name)
    except BadInput:
        return None


def _floating(given: Mapping[str, str]) -> bool:
    """Whether an input is an image by tag, which may be another image each time."""
    return any(value.startswith("docker-image://") and "@" not in value for value in given.values())


def _inputs_digest(folders: Mapping[str, Path], definition: Mapping[str, Any]) -> str:
    """Return a digest over everything that the build is given.

    Files count by path, mode, size and time. In the contexts that we make, times follow from
    content (see `set_content_time`); in a folder that --context names, an edited file has a new
    one.
    """
    seen = hashlib.sha256()
    for file in ("Dockerfile", "docker-bake.hcl"):
        seen.update((DOCKER / file).read_bytes())
    without_secrets = json.loads(json.dumps(definition))
    without_secrets["target"]["_common"].pop("secret")
    seen.update(json.dumps(without_secrets, sort_keys=True).encode())
    image = definition["target"]["image"]["contexts"]
    replaced = [Path(value) for value in image.values() if value.startswith("/")]
    for folder in sorted({*folders.values(), *replaced}):
        for path in sorted(folder.rglob("*")):
            status = path.lstat()
            time_ns = 0 if path.is_dir() else status.st_mtime_ns
            line = f"{path} {status.st_mode} {status.st_size} {time_ns}"
            seen.update(line.encode())
    return seen.hexdigest()
