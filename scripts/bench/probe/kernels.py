"""Which kernel a call really ran, from torch's profiler: names of flags do not tell."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from .recorder import recorder

# aten's entry points of fused attention and of its math fallback all begin so; xformers' own
# operators, and aten's that it calls, are the others.
_FUSED = ("aten::_scaled_dot_product_", "aten::_flash_attention", "aten::_efficient_attention")
_XFORMERS = "xformers"
_PARTS = ("aten::baddbmm", "aten::bmm", "aten::_softmax", "aten::exp")
_LONGEST = 160


class Resolved(NamedTuple):
    """What a call came to: its operator, on CUDA with a kernel; and how many it launched."""

    name: str
    launches: int


def resolved(call: Callable[[], Any], device: str) -> Resolved:
    """Name the attention operator that `call` reached, and on CUDA its longest-running kernel.

    A fused operator is named alone; a backend made of single operators by those that matter.
    """
    events = _events(call, device)
    name = _operator([event.key for event in events])
    kernels = _kernels(events)
    if device == "cuda":
        name = f"{name}; {_longest(kernels)}"
    return Resolved(name[:_LONGEST], _count(kernels))


def launches(call: Callable[[], Any], device: str) -> int:
    """How many kernels `call` launches; zero on a CPU, where it is not even called."""
    return _count(_kernels(_events(call, device))) if device == "cuda" else 0


def _events(call: Callable[[], Any], device: str) -> Any:
    """The profiler's events of one call, those of one name as one."""
    with recorder(device) as profiler:
        call()
        if device == "cuda":
            torch.cuda.synchronize()
    return profiler.key_averages()


def _kernels(events: Any) -> list[Any]:
    """What ran on the GPU: kernels, copies and fills, each of which is one launch."""
    return [event for event in events if "cuda" in str(event.device_type).lower()]


def _count(kernels: list[Any]) -> int:
    return sum(int(kernel.count) for kernel in kernels)


def _operator(names: list[str]) -> str:
    """The most specific of the operators: xformers', else a fused one, else the single parts."""
    own = sorted(name for name in names if name.startswith(_XFORMERS))
    fused = [name for name in names if name.startswith(_FUSED)]
    if own or fused:
        return " + ".join((own + fused)[:2])
    return " + ".join(name for name in _PARTS if name in names) or "unknown"


def _longest(kernels: list[Any]) -> str:
    """The CUDA kernel with the most time of its own (the attribute's name changed in torch 2.4)."""
    if not kernels:
        return "no CUDA kernel seen"

    def own_time(event: Any) -> float:
        newer = getattr(event, "self_device_time_total", None)
        return float(event.self_cuda_time_total if newer is None else newer)

    return str(max(kernels, key=own_time).key)
