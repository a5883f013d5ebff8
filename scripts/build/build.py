"""One build of a profile: its inputs brought together, buildx bake run, the outcome recorded."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound
from rich.console import Console

from scripts.bench.advise import auto
from scripts.build import bake, buildx, contexts
from scripts.build import recipe as recipes
from scripts.build.engine import Engine
from scripts.build.exchange import NOTHING, Exchange, laid_over
from scripts.build.explain import StepFailed
from scripts.build.image import layers, load, pushed_layers, replacing
from scripts.build.labels import labels
from scripts.build.logs import carried, keep, layer_of
from scripts.build.progress import Steps
from scripts.build.record import (
    BuildRecord,
    StepRecord,
    git_state,
    history,
    latest,
    lock_digest,
    now,
    save,
    stamp,
)
from scripts.build.retry import patiently
from scripts.lock.pins import entries
from scripts.workspace.errors import BadInput, CheckFailed
from scripts.workspace.files import exclusive, require_space, write_atomic
from scripts.workspace.model import Workspace, nearest
from scripts.workspace.paths import BUILDS, DOCKER, ENGINE, ROOT, shown

# Disk for each byte of a wheel, measured with the cu121 stack (31 GB for 3.2 GB): unpacked in uv's
# cache, in the stage, in its copy for the image and in the image, and compressed once.
PER_WHEEL_BYTE = 9
# Disk for each byte of a file that is copied into the image as it is: sent to the engine, in its
# copy for the image and in the image, and compressed once (a model hardly gets smaller by that).
PER_FILE_BYTE = 4
# The base, system packages, the engine's own.
REST = 3_000_000_000
# What the record of a build has before the name of the builder that made it.
OF_BUILDER = "builder "


def require(workspace: Workspace, name: str, context: list[str], stage: str | None) -> None:
    """Raise BadInput for what no engine can build: so that none is started for it.

    That is a `stage` that is not there, a --context that cannot be, and inputs without a pin.
    """
    if stage is not None:
        _require_stage(stage)
    replaced = bake.replacements(context, contexts.replaceable())
    recipes.recipe(workspace, name, replaced)
    _base(workspace, name)
    contexts.require_pins(workspace.profile(name), replaced)


def _require_stage(stage: str) -> None:
    if stage not in (known := contexts.stages()):
        raise BadInput(f"docker/Dockerfile has no stage {stage}.{nearest(stage, known)}")


def build(
    workspace: Workspace,
    name: str,
    context: list[str],
    engine: Engine,
    console: Console,
    exchange: Exchange = NOTHING,
) -> tuple[BuildRecord, bool]:
    """Build a profile's image; return its record and whether anything had to be done.

    Caches are read and written as `exchange` says. A builder of the user's own pushes the image
    as well; else see `push.publish`.

    Raises BadInput for wrong arguments or inputs, Failure with the failed step and its last lines.
    """
    _require_space(workspace, name, context, engine)
    with prepared(workspace, name, context) as task:
        started = time.monotonic()
        inputs = _inputs_digest(task.folders, task.definition)
        before = _before(name)
        same = before is not None and before.inputs_sha256 == inputs
        asked = exchange.cache_to or (engine.builder and exchange.push)
        # A lock that this image takes nothing from may have moved: what is attested is of now.
        stale = before and exchange.attest and before.lock_sha256 != lock_digest()
        moves = bool(bake.floating(task.given))
        still = before and same and not (asked or stale or moves)
        if before and still and _present(engine, before):
            return before, False
        recipe = recipes.recipe(workspace, name, task.replaced)
        # What was built then has passed the check; a cache that is written wants it all the same,
        # and an image by tag may be another one than was looked at.
        passed = before.recipe if before and not (exchange.cache_to or moves) else None
        if passed and passed.key(recipes.CHECK) == recipe.key(recipes.CHECK):
            del task.definition["target"][recipes.CHECK]
        if engine.builder and exchange.push:
            steps, digest = bake_all(task, engine, console, exchange)
            image = f"{exchange.push}@{digest}"
            found = tuple(pushed_layers(exchange.push, steps))
        else:
            image = bake.image_name(name)
            with replacing(engine, image):
                steps, digest = bake_all(task, engine, console, exchange)
                if engine.builder:
                    load(engine, task.archive, image)
            found = tuple(layers(engine, image, steps))
        sha, dirty = git_state()
        utc = now()
        logs = carried(found, history(name)) | keep(name, stamp(utc), steps)
        record = BuildRecord(
            profile=name,
            image=image,
            digest=digest,
            lock_sha256=lock_digest(),
            inputs_sha256=inputs,
            replaced=task.replaced,
            recipe=recipe,
            git_sha=sha,
            git_dirty=dirty,
            utc=utc,
            seconds=round(time.monotonic() - started, 1),
            engine=_version(engine),
            layers=found,
            steps=tuple(_step_records(steps)),
            logs=logs,
            attention=auto.resolved(workspace, name).told(),
        )
        save(record)
        return record, True


def build_stage(
    workspace: Workspace,
    name: str,
    context: list[str],
    engine: Engine,
    console: Console,
    stage: str,
    exchange: Exchange = NOTHING,
    image: str = "",
    text: str = "",
) -> None:
    """Build up to a stage of docker/Dockerfile, and an image of it when `image` names one.

    Nothing is recorded. `text` is taken in the place of docker/Dockerfile's.

    Raises BadInput for a stage that is not there, and what `build` raises.
    """
    _require_stage(stage)
    _require_space(workspace, name, context, engine)
    with prepared(workspace, name, context) as task:
        del task.definition["target"][recipes.CHECK]
        task.definition["target"]["image"] |= {
            "target": stage,
            "tags": [],
            "output": [buildx.throwaway(image) if image else "type=cacheonly"],
            **({"dockerfile-inline": text} if text else {}),
        }
        bake_all(task, engine, console, exchange)


@dataclass(frozen=True)
class Task:
    """What buildx is given: a bake definition, and where the parts of it come from.

    `replaced` are the inputs that --context replaces, as it names them, `given` as buildx gets
    them. `dockerfiles` are those of bake targets, to be named when a step fails.
    """

    name: str
    dockerfiles: Mapping[str, Path]
    folders: Mapping[str, Path]
    replaced: dict[str, str]
    given: Mapping[str, str]
    definition: dict[str, Any]
    file: Path

    @property
    def archive(self) -> Path:
        """Where the image of a builder lies until the engine has it."""
        return self.file.with_name("image.tar")


@contextmanager
def prepared(workspace: Workspace, name: str, context: list[str]) -> Iterator[Task]:
    """Bring everything that a build needs together; no other build of the profile runs then."""
    profile = workspace.profile(name)
    replaced = bake.replacements(context, contexts.replaceable())
    with exclusive(BUILDS / f"{name}.lock", f"a build of {name}"), buildx.secrets() as secrets:
        contexts.forget_replaced(name)
        folders = contexts.inputs(workspace, name, replaced)
        given = {
            key: value
            if not value.startswith("/")
            else str(contexts.replacing(name, key, Path(value)))
            for key, value in replaced.items()
        }
        output = buildx.exporter(bake.image_name(name))
        image = _base(workspace, name)
        definition = bake.definition(name, profile, folders, image, given, secrets, output)
        dockerfiles = dict.fromkeys((recipes.IMAGE, recipes.CHECK), DOCKER / "Dockerfile")
        if profile.source.folder is not None:
            dockerfiles["source"] = ROOT / profile.source.folder / "Dockerfile"
        definition["target"]["image"]["labels"] = labels(workspace, name, replaced)
        file = BUILDS / name / "bake.json"
        yield Task(name, dockerfiles, folders, replaced, given, definition, file)


def bake_all(
    task: Task, engine: Engine, console: Console, exchange: Exchange = NOTHING
) -> tuple[dict[str, Steps], str]:
    """Run buildx for each target; return the steps of each, and the last one's digest.

    Raises what `buildx.bake` raises; layers that do not go together end with exit code 3.
    """
    write_atomic(task.file, bake.render(laid_over(task.definition, exchange, engine, task.archive)))
    steps, digest = {}, ""
    for target in bake.order(task.definition):
        build_one = partial(
            buildx.bake, engine, task.file, target, console, task.dockerfiles.get(target)
        )
        try:
            # What was built is not built again when a registry drops the image or a cache.
            steps[target], digest = patiently(build_one, exchange.registries)
        except StepFailed as failed:
            # On a full disk there is no place for it, and the failure says more.
            with suppress(OSError):
                kept = keep(task.name, "failed", {target: failed.steps})
                if log := kept.get(layer_of(target, failed.step)):
                    failed.message += f"\n  All that it said: {shown(BUILDS / task.name / log)}"
            if target in (recipes.CHECK, recipes.IMAGE) and failed.step.name.startswith("[check "):
                # It stays a failed step: --shell opens in the state before it.
                failed.code = CheckFailed.code
            raise
    return steps, digest


def _step_records(steps: Mapping[str, Steps]) -> Iterator[StepRecord]:
    """Yield the steps of all targets, their times counted from the first that was announced.

    What the check has built, the image finds in the cache: that is told once, as it was built.
    """
    built = {step.name for step in steps.get(recipes.CHECK, ())}
    every = [
        step
        for target, of_target in steps.items()
        for step in of_target
        if target != recipes.IMAGE or step.name not in built
    ]
    begin = min((step.queued for step in every if step.queued), default=None)

    def after(moment: datetime | None) -> float | None:
        return round((moment - begin).total_seconds(), 2) if moment and begin else None

    for step in every:
        yield StepRecord(
            name=step.name,
            cached=step.cached,
            seconds=round(step.seconds(), 2),
            queued=after(step.queued),
            started=after(step.started),
            received=step.received,
        )


def disk(packages: int, files: int = 0) -> int:
    """Return the bytes of disk that a build of packages and files of so many bytes asks for."""
    return REST + PER_WHEEL_BYTE * packages + PER_FILE_BYTE * files


def space(workspace: Workspace, name: str, context: list[str], engine: Engine | None = None) -> int:
    """Return the bytes of disk that a build of a profile asks for in an engine.

    They are for the layers that were not built here before; for all of them without `engine`, or
    when it does not have the last image built here: it was removed then, or is another engine.
    What has no known size (a source by commit, an image) is not counted.
    """
    if engine and engine.builder:
        return 0  # it has a disk of its own
    replaced = bake.replacements(context, contexts.replaceable())
    recipe = recipes.recipe(workspace, name, replaced)
    new = recipe.layers()
    # What a builder made, it has in its own cache, also when the image was brought here.
    here = (record for record in history(name) if not record.engine.startswith(OF_BUILDER))
    last = next(here, None)
    if last and engine and _present(engine, last):
        # Of an image before the last one, the engine keeps the layers in its build cache.
        for record in chain([last], here):
            there = record.recipe
            if there is None:
                continue
            new = {
                layer: filled
                for layer, filled in new.items()
                if there.key(layer) != recipe.key(layer)
            }
            if not new:
                break
    if not new:
        return 0
    parts = {part for filled in new.values() for part in filled}
    packages = {part for part in parts if part.startswith("locks/")}
    files = parts & {"model", "source", *replaced}
    return disk(*(sum(recipe.parts[part].size for part in each) for each in (packages, files)))


def _require_space(workspace: Workspace, name: str, context: list[str], engine: Engine) -> None:
    """Raise Failure when the disk is too small for the layers that have to be built."""
    needed = space(workspace, name, context, engine)
    require_space(ENGINE if engine.embedded else BUILDS, needed, f"building {name}")


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
    if engine.builder:
        return f"{OF_BUILDER}{engine.builder}"
    kind = "embedded" if engine.embedded else "own"
    return f"{kind}, Docker {engine.client(30).version()['Version']}"


def _before(name: str) -> BuildRecord | None:
    """Return the newest record; none when it cannot be read, for then the build makes a new one."""
    try:
        return latest(name)
    except BadInput:
        return None


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
