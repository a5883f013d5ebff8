"""What the measurement ran on: machine, GPU, versions, and the flags that change the numbers."""

import hashlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

from . import first_gpu

# Of cgroup v2, then of v1.
_LIMITS = ("cpu.max", "memory.max", "cpu/cpu.cfs_quota_us", "memory/memory.limit_in_bytes")
_ASKED = ("uuid", "driver_version", "power.limit", "clocks.max.sm", "mig.mode.current")
# Variables that change what torch, its math libraries or the allocator do.
_PREFIXES = ("OMP_", "MKL_", "KMP_", "GOMP_", "TORCH_", "PYTORCH_", "CUDA_", "CUDNN_", "NVIDIA_")
_NAMES = ("LD_PRELOAD", "MALLOC_ARENA_MAX", "XFORMERS_FORCE_DISABLE_TRITON")
# As CUDA takes them, which may be cut short: GPU-8932f937-..., MIG-..., MIG-GPU-.../1/0.
_UUID = re.compile(r"\b(GPU|MIG)-(?:GPU-)?[0-9a-f][0-9a-f-]*(?![0-9a-z-])", re.IGNORECASE)


def _text(path: str) -> str | None:
    """The file's content, or None where this machine has no such file."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def host() -> dict[str, Any]:
    """Processor, usable cores, frequency governor, kernel and the cgroup's limits."""
    models = [
        line.partition(":")[2].strip()
        for line in (_text("/proc/cpuinfo") or "").splitlines()
        if line.startswith("model name")
    ]
    limits = {name: _text(f"/sys/fs/cgroup/{name}") for name in _LIMITS}
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "kernel": platform.release(),
        "cgroup": "; ".join(f"{k} {v}" for k, v in limits.items() if v is not None) or None,
    }


def gpu() -> dict[str, Any] | None:
    """The first CUDA device, or None; what only nvidia-smi knows is null where it is missing."""
    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    asked = first_gpu.asked(_ASKED, first_gpu.identifier())
    uuid = asked["uuid"]
    return {
        "name": torch.cuda.get_device_name(),
        "capability": f"{major}.{minor}",
        "uuid_hash": hashed(uuid) if uuid else None,
        "driver": asked["driver_version"],
        "power_limit": asked["power.limit"],
        "clocks_max": asked["clocks.max.sm"],
        "mig": asked["mig.mode.current"],
    }


def hashed(uuid: str) -> str:
    """Enough to tell two GPUs apart; the serial-like id itself stays on the machine."""
    return hashlib.sha256(uuid.encode()).hexdigest()[:16]


def without_uuids(value: str) -> str:
    """`value` with the hash of every UUID of a GPU, or of a part of one, in its place."""
    return _UUID.sub(lambda found: f"{found[1]}-sha256:{hashed(found[0])}", value)


def software() -> dict[str, str | None]:
    """Versions of what is installed; None is not installed."""
    try:
        # Not by importing it: one that is installed may still not import, as its cases then say.
        xformers_version: str | None = importlib.metadata.version("xformers")
    except importlib.metadata.PackageNotFoundError:
        xformers_version = None
    cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None
    return {
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
        "xformers": xformers_version,
        "python": platform.python_version(),
    }


def flags() -> dict[str, Any]:
    """Switches of torch as they are, and the variables of the environment that matter."""
    kept = {
        name: without_uuids(value)
        for name, value in os.environ.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }
    return {
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32),
        "cudnn_tf32": bool(torch.backends.cudnn.allow_tf32),
        "cudnn_benchmark": bool(torch.backends.cudnn.benchmark),
        "deterministic": bool(torch.are_deterministic_algorithms_enabled()),
        "env": dict(sorted(kept.items())),
    }


def header() -> dict[str, Any]:
    """All of the above, as the first record of a run."""
    return {"host": host(), "gpu": gpu(), "sw": software(), "flags": flags()}
