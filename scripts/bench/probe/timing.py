"""One call on the device: how long it takes, warm or not yet, and what memory it needs."""

import time
from collections.abc import Callable
from typing import Any

import torch

from . import rounds
from .parity import synchronize
from .recorder import recorder

Call = Callable[[], Any]


def mark(device: str) -> Any:
    """A moment of the device: on CUDA an event behind all that was issued before."""
    if device != "cuda":
        return time.perf_counter_ns()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def between(first: Any, last: Any) -> int:
    """Nanoseconds between two marks; on CUDA the second must have been reached."""
    if isinstance(first, int):
        return int(last - first)
    return int(first.elapsed_time(last) * 1e6)


def sample(call: Call, calls: int, device: str) -> tuple[int, int]:
    """Mean time of one call in ns, of the device and of the host that issues it.

    It is taken over `calls` in a row. On a CPU a call that returned is done: both are the same.
    """
    synchronize(device)
    start = time.perf_counter_ns()
    first = mark(device)
    for _ in range(calls):
        call()
    last = mark(device)
    issued = time.perf_counter_ns() - start
    synchronize(device)
    taken = between(first, last) // calls
    return taken, (issued // calls if device == "cuda" else taken)


def warm_up(call: Call, times: list[int], warm_by: float, device: str) -> bool:
    """Go on from `times` (ns), adding to them, until they settle; return whether they did.

    No call is begun after `warm_by`, in seconds of time.monotonic().
    """
    while not rounds.is_warm(times) and time.monotonic() < warm_by:
        times.append(sample(call, 1, device)[0])
    return rounds.is_warm(times)


def peak_bytes(call: Call, device: str) -> int:
    """Memory of tensors that one call takes at most, beyond what is held already.

    It is counted by torch's allocator: what libraries take past it (oneDNN's scratch memory) is
    not in it.
    """
    if device != "cuda":
        return _peak_on_cpu(call)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)


def _peak_on_cpu(call: Call) -> int:
    """The highest sum of what torch's profiler saw allocated and freed, in order of time."""
    with recorder("cpu", memory=True) as profiler:
        call()
    events = [e for e in profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=_start):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def _start(event: Any) -> int:
    """When an event of the profiler began (the unit changed in torch 2.4)."""
    return int(event.start_ns() if hasattr(event, "start_ns") else event.start_us())
