"""What the commands of a build printed, kept whole: a file for each layer, beside the record."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.build.progress import Step, Steps
from scripts.build.recipe import CHECK, IMAGE
from scripts.build.record import BuildRecord, Layer
from scripts.workspace.files import write_atomic
from scripts.workspace.paths import BUILDS


def keep(profile: str, name: str, steps: Mapping[str, Steps]) -> dict[str, str]:
    """Write what each layer's commands printed below logs/`name`, in the place of what was there.

    `steps` are those of each bake target. Returns the files by layer, relative to the folder of
    the profile's records.
    """
    records = BUILDS / profile
    folder = records / "logs" / name
    shutil.rmtree(folder, ignore_errors=True)
    made: dict[str, str] = {}
    for layer, printed in _by_layer(steps).items():
        path = folder / f"{layer}.txt"
        write_atomic(path, "\n".join(map(_text, printed)))
        made[layer] = path.relative_to(records).as_posix()
    return made


def carried(layers: Iterable[Layer], records: Iterable[BuildRecord]) -> dict[str, str]:
    """Return the logs of layers that were not made anew, from the newest record of the same layer.

    A layer is the same when its digest is; an engine that tells no digests has no log of them.
    """
    missing = {(layer.name, layer.digest) for layer in layers if layer.digest}
    found: dict[str, str] = {}
    for record in records:
        for layer in record.layers:
            key = (layer.name, layer.digest)
            log = record.logs.get(layer.name)
            if key in missing and log and Path(BUILDS, record.profile, log).exists():
                missing.remove(key)
                found[layer.name] = log
        if not missing:
            break
    return found


def layer_of(target: str, step: Step) -> str:
    """Return what a step of a bake target is kept under: its stage, or a target with one layer."""
    return step.stage if step.stage and target in (IMAGE, CHECK) else target


def _by_layer(steps: Mapping[str, Steps]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for target, of_target in steps.items():
        for step in of_target:
            if step.stage and (step.output or step.error):
                found.setdefault(layer_of(target, step), []).append(step)
    return found


def _text(step: Step) -> str:
    return f"# {step.title}\n{step.output.rstrip()}\n" + (f"{step.error}\n" if step.error else "")
