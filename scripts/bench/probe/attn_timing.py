"""How long calls of a backend take: on the device, and on the host that issues them.

With hot caches the calls of a sample follow one another on the same tensors. With cold ones a
buffer larger than any cache is written before each of them, which is not timed.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from .attn_backends import Call

EVICTING_BYTES = 2**28
"""256 MiB: more than the last cache of any GPU or CPU that is meant."""
MOST_COLD_CALLS = 20


class Sample(NamedTuple):
    """Mean times of one call in ns. On a CPU a call has returned when it is done: both are one."""

    device_ns: int
    host_ns: int


def evictor(device: str) -> Callable[[], object]:
    """What empties the caches of `device` when it is called."""
    evict: Callable[[], object] = torch.empty(
        EVICTING_BYTES, dtype=torch.uint8, device=device
    ).zero_
    return evict


def sample(
    prepared: Call, device: str, calls: int, evict: Callable[[], object] | None = None
) -> Sample:
    """Time `calls` calls; with `evict` each by itself, after it."""
    spans, each = (1, calls) if evict is None else (min(calls, MOST_COLD_CALLS), 1)
    with prepared.around():
        if device == "cuda":
            return _cuda(prepared.call, spans, each, evict)
        taken = 0
        for _ in range(spans):
            if evict is not None:
                evict()
            start = time.perf_counter_ns()
            for _ in range(each):
                prepared.call()
            taken += time.perf_counter_ns() - start
        return Sample(taken // (spans * each), taken // (spans * each))


def _cuda(
    call: Callable[[], object], spans: int, each: int, evict: Callable[[], object] | None
) -> Sample:
    """Device time between events around each span; the host issues them all before it waits."""
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(spans)]
    torch.cuda.synchronize()
    issued = 0
    for first, last in events:
        if evict is not None:
            evict()
        start = time.perf_counter_ns()
        first.record()
        for _ in range(each):
            call()
        last.record()
        issued += time.perf_counter_ns() - start
    torch.cuda.synchronize()
    milliseconds = sum(first.elapsed_time(last) for first, last in events)
    return Sample(int(milliseconds * 1e6 / (spans * each)), issued // (spans * each))


def peak_bytes(prepared: Call, device: str) -> int | None:
    """Memory that one call takes beyond its inputs; None where torch does not count it."""
    if device != "cuda":
        return None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with prepared.around():
        prepared.call()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated() - before)
