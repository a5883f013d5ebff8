"""Which device this machine is, told before anything is measured and without torch."""

import os
import platform
from pathlib import Path

from scripts.bench.probe import first_gpu
from scripts.bench.tracking import HERE
from scripts.bench.tracking.store import BENCHMARKS, Device, devices, slug
from scripts.workspace.errors import BadInput


def here(root: Path = BENCHMARKS) -> Device:
    """The device that the probe will find here: the first GPU, or the processor with its cores."""
    return Device(root / slug(_gpu() or _processor()))


def named(name: str, root: Path = BENCHMARKS) -> Device:
    """A device with recorded runs, or the one that this machine is (HERE).

    Raises BadInput that names the devices which have some.
    """
    wanted = here(root) if name == HERE else Device(root / name)
    known = devices(root)
    if wanted in known:
        return wanted
    raise BadInput(
        f"no run of {wanted.name} is recorded. {_recorded(known)}",
        hint="Record one here: ./nox -s bench -- --record",
    )


def _recorded(known: list[Device]) -> str:
    return f"There are runs of: {', '.join(each.name for each in known) or 'no device'}."


def _gpu() -> str | None:
    """The name of torch's first GPU as nvidia-smi and torch give it, or None."""
    return first_gpu.asked(("name",), first_gpu.identifier())["name"]


def _processor() -> str:
    """Processor and usable cores, read from where the probe reads them (probe/device.py)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"
