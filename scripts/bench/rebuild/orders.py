"""The same inputs built in two orders of layers, again after each change."""

import copy
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.bench.rebuild.changes import Change
from scripts.bench.rebuild.output import BASE, Build
from scripts.build import buildx
from scripts.build.build import Task, bake_all
from scripts.build.engine import Engine
from scripts.build.recipe import CHECK, IMAGE
from scripts.workspace.paths import ROOT

OURS, OTHER = "ours", "worker-a1111's order"
# The most runs of a change, and the seconds after which there is no further one.
RUNS, ENOUGH_S = 3, 60.0
IMAGE_NAME, KEPT_NAME = "sdkiln-rebuild:latest", "sdkiln-rebuild:first"


@dataclass(frozen=True)
class Inputs:
    """The contexts of a build as folders that can be edited: `locks`, `app` and so on, by name."""

    task: Task
    folders: Mapping[str, Path]
    scratch: Path

    def changed(self, change: Change, unseen: str) -> Mapping[str, Path]:
        """Return the folders with an edited copy of the one that changes."""
        made = self.scratch / "changed"
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(self.folders[change.context], made, copy_function=shutil.copy2)
        change.edit(made, unseen)
        return {**self.folders, change.context: made}


def measured(
    inputs: Inputs, changes: list[Change], engine: Engine, console: Console, runs: int
) -> Iterator[Build]:
    """Yield each build of both orders: the first from an empty cache, then one or more per change.

    What a build leaves is removed again, so that each change is measured against the first build.
    """
    for order in (OURS, OTHER):
        engine.buildx("prune", "--all", "--force")
        build = _builder(order, inputs, engine, console)
        first, layers = build(inputs.folders, ())
        yield first
        kept = _cached(engine)
        # Were it gone with the image of a change, all layers would have to be unpacked again.
        engine.client().images.get(IMAGE_NAME).tag(*KEPT_NAME.split(":"))
        for change in changes:
            spent = 0.0
            for number in range(runs):
                done, _ = build(inputs.changed(change, f"{order} {change.name} {number}"), layers)
                yield replace(done, change=change.name, run=number + 1)
                _forget(engine, _cached(engine) - kept)
                spent += done.seconds
                if spent > ENOUGH_S:
                    break
        engine.client().images.remove(KEPT_NAME, force=True)


Layers = tuple[tuple[str, int], ...]


def _builder(
    order: str, inputs: Inputs, engine: Engine, console: Console
) -> Callable[[Mapping[str, Path], Layers], tuple[Build, Layers]]:
    def build(folders: Mapping[str, Path], before: Layers) -> tuple[Build, Layers]:
        task = replace(
            inputs.task,
            definition=definition(inputs.task.definition, order, inputs.task.folders, folders),
            file=inputs.scratch / "bake.json",
        )
        started = time.monotonic()
        bake_all(task, engine, console)
        seconds = time.monotonic() - started
        layers = tuple(engine.manifest_layers(IMAGE_NAME))
        new = [each for each in layers if each not in before]
        made = Build(
            order=order,
            change=BASE,
            run=1,
            seconds=round(seconds, 2),
            new_bytes=sum(size for _, size in new),
            new_layers=len(new),
            reused_layers=len(layers) - len(new),
        )
        return made, layers

    return build


def definition(
    made: Mapping[str, Any], order: str, were: Mapping[str, Path], folders: Mapping[str, Path]
) -> dict[str, Any]:
    """Return a bake definition with other folders as contexts, in one of the two orders."""
    instead = {str(were[name]): str(folder) for name, folder in folders.items()}
    found: dict[str, Any] = copy.deepcopy(dict(made))
    for target in found["target"].values():
        if "context" in target:
            target["context"] = instead.get(target["context"], target["context"])
        for name, value in target.get("contexts", {}).items():
            target["contexts"][name] = instead.get(value, value)
    found["target"][IMAGE] |= {"tags": [IMAGE_NAME], "output": [buildx.exporter(IMAGE_NAME)]}
    if order == OTHER:
        # What it puts into one layer cannot contradict itself.
        found["target"].pop(CHECK, None)
        found["target"][IMAGE]["context"] = str(ROOT / "benchmarks" / "rebuild")
    return found


def _cached(engine: Engine) -> set[str]:
    """Return the ids of what is in BuildKit's cache."""
    return set(re.findall(r"^ID:\s+(\S+)", engine.buildx("du", "--verbose"), re.MULTILINE))


def _forget(engine: Engine, ids: set[str]) -> None:
    engine.client().images.remove(IMAGE_NAME, force=True)
    for each in ids:
        engine.buildx("prune", "--force", "--all", f"--filter=id={each}")
