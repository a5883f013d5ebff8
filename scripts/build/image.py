"""The built image of a profile: how it is found and run, and the layers that it consists of."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound
from docker.types import DeviceRequest

from scripts.build import registry
from scripts.build.engine import Engine
from scripts.build.progress import Step, Steps
from scripts.build.record import BuildRecord, Layer, latest
from scripts.lock.images import Tag
from scripts.workspace.errors import BadInput, Failure

# The steps that make a layer: "[system 1/1] RUN ...", "[image 3/10] COPY --link --from=py-torch".
STAGE_STEP = re.compile(r"^\[(\S+)\s+(\d+)/\d+\] (?:RUN|COPY.* --from=(\S+))")
# The first GPU, as NVIDIA's driver for Linux names it.
GPU_DEVICE = Path("/dev/nvidia0")
# The tag of an image while it is replaced.
HELD = "replaced"


def built(profile: str) -> BuildRecord:
    """Return the record of the profile's newest build; raises BadInput when there is none."""
    record = latest(profile)
    if record is None:
        raise BadInput(
            f"the image of {profile} is not built.", hint=f"./nox -s build -- --profile {profile}"
        )
    return record


def labels(command: str) -> dict[str, str]:
    """Return the labels of a container that `command` starts: by them `sweep` finds it."""
    return {"sdkiln": command, "sdkiln.pid": str(os.getpid())}


def sweep(client: docker.DockerClient) -> None:
    """Remove the containers of commands that were killed before they could do it themselves."""
    for container in client.containers.list(all=True, filters={"label": "sdkiln.pid"}):
        if not Path("/proc", container.labels["sdkiln.pid"]).exists():
            container.remove(force=True, v=True)


def gpus(client: docker.DockerClient) -> list[DeviceRequest] | None:
    """Return a request for all GPUs where the engine has NVIDIA's runtime, else None."""
    if "nvidia" not in client.info().get("Runtimes", {}):
        return None
    return [DeviceRequest(count=-1, capabilities=[["gpu"]])]


def unused_gpu(client: docker.DockerClient) -> str | None:
    """Why containers do not get this machine's NVIDIA GPU, and what to do about it, in one line.

    None where they get it, or where there is none.
    """
    if gpus(client) is not None or not _has_gpu():
        return None
    return (
        "this machine has an NVIDIA GPU, and it is not used: the engine has no runtime `nvidia`. "
        "Install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker` and "
        "restart Docker; to measure the GPU without that: ./nox -s bench -- --in host"
    )


def _has_gpu() -> bool:
    """Whether NVIDIA's driver is on this machine, as far as its device or its program tells."""
    return GPU_DEVICE.exists() or shutil.which("nvidia-smi") is not None


@contextmanager
def replacing(engine: Engine, image: str) -> Iterator[None]:
    """Hold the image that a build is to replace, under a name beside its own, until that is done.

    BuildKit gives the name to the new image before it unpacks its layers. Those that both images
    have would belong to neither meanwhile, and containerd may remove one while it is built upon:
    "parent snapshot ... does not exist".
    """
    client = engine.client()
    name = image.partition(":")[0]
    try:
        client.images.get(image).tag(name, HELD)
    except ImageNotFound:
        yield
        return
    try:
        yield
    finally:
        # Of an engine that went away, the build itself tells; the next one takes the name again.
        with suppress(DockerException, OSError):
            client.images.remove(f"{name}:{HELD}")


def load(engine: Engine, archive: Path, image: str) -> None:
    """Bring an image from an OCI layout into the engine, under the name `image`; remove the tar.

    Raises Failure when the engine does not take it.
    """
    try:
        with archive.open("rb") as file:
            (loaded,) = engine.client().images.load(file)
        loaded.tag(*image.split(":"))
    except DockerException as error:
        raise Failure(f"the engine did not take the image of the builder: {error}") from None
    finally:
        archive.unlink()


def layers(engine: Engine, image: str, steps: Mapping[str, Steps]) -> Iterator[Layer]:
    """Yield the layers of an image that the engine has, from the bottom up; see `_named`."""
    made = [entry["Size"] for entry in engine.client().images.get(image).history()]
    unpacked = [size for size in reversed(made) if size]
    stored = engine.manifest_layers(image)
    if len(stored) != len(unpacked):
        return _named([("", None, size) for size in unpacked], steps)
    pairs = zip(stored, unpacked, strict=True)
    return _named([(digest, size, on_disk) for (digest, size), on_disk in pairs], steps)


def pushed_layers(tag: Tag, steps: Mapping[str, Steps]) -> Iterator[Layer]:
    """Yield the layers of an image that only a registry has: what they take on disk is unknown."""
    stored = registry.manifest(tag).document["layers"]
    return _named([(layer["digest"], layer["size"], None) for layer in stored], steps)


def _named(
    made: Sequence[tuple[str, int | None, int | None]], steps: Mapping[str, Steps]
) -> Iterator[Layer]:
    """Yield layers, named by the context each was copied from.

    `made` are digest, size and unpacked size of each, `steps` those of each bake target. The
    history of an image says nothing of contexts, so names come from the steps of the final stage,
    which has one COPY per layer; below these lie `system` and the base.
    """
    copies = {}
    for step in steps["image"]:
        match = STAGE_STEP.match(step.name)
        if match and match[1] == "image" and match[3]:
            copies[int(match[2])] = match[3]
    names = ["system", *(copies[number] for number in sorted(copies))]
    for number, (digest, size, unpacked) in enumerate(made):
        from_top = len(made) - number
        name = names[-from_top] if from_top <= len(names) else "base"
        # The check comes first, and builds what it looks at.
        both = [*steps.get("check", ()), *steps["image"]]
        own = [step for step in both if _makes(step, name)]
        own += steps.get("rootfs" if name == "base" else name, ())
        worked = [step for step in own if step.is_work and not step.cached]
        yield Layer(
            name=name,
            digest=digest,
            size=size,
            unpacked=unpacked,
            cached=not worked,
            seconds=round(sum(step.seconds() for step in worked), 1),
        )


def _makes(step: Step, layer: str) -> bool:
    """Whether a step belongs to a layer: it is of the stage of that name, or copies from it."""
    match = STAGE_STEP.match(step.name)
    return match is not None and (match[3] or match[1]) == layer
