"""One call on the device: how long it takes, warm or not yet, and what memory it needs.

On CUDA the host takes 10 to 20 us to issue a call, and the device may need less for it: then the
time between two events is the host's. So a kernel that only spins holds the device until the host
has issued a whole span of calls, which the device then runs without a pause; NVBench does so with
its blocking kernel. Whether it was held for long enough is asked of the first event.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from . import rounds
from .parity import synchronize
from .recorder import recorder
from .samples import Sample

Call = Callable[[], Any]

QUEUE = 512
"""Launches that are issued ahead at most: CUDA's queue takes about 1024 and then blocks the host,
whose time would no longer be that of issuing."""
SPAN_CALLS = 64
"""Calls between two events at most."""
LONGEST_NS = 50_000_000
"""The device is not held for longer."""
SLACK_NS = 20_000
"""Held beside what the calls take: for the events."""
MARGIN, MOST_MARGIN = 2.0, 32.0
"""The device is held for so many times what the calls took to issue the last time."""
CYCLES_PER_NS = 2
"""Of the spin, which counts cycles of the SM clock: an H100's is 1.98 GHz at most."""
LAUNCH_NS = 20_000
"""What one launch takes to issue, until a span has told."""
LEAST_TAIL = 0.1
"""Part of a span's time that must be left to the device when all of it was issued, where that was
too much to be issued ahead: then the device had something to do until the end."""


class HeadStart:
    """How long the device is held before a span, learned from how long spans took to issue."""

    def __init__(self, launches: int) -> None:
        """Begin with a guess for calls of so many launches."""
        self._launches = launches
        self._call_ns = launches * LAUNCH_NS
        self._margin = MARGIN
        self._is_of_use = True

    @property
    def most_calls(self) -> int:
        """Of one span: those that can be issued ahead, or one where not even that can."""
        return max(1, min(SPAN_CALLS, QUEUE // self._launches))

    def covers(self, calls: int) -> bool:
        """Whether the queue takes all launches of so many calls."""
        return calls * self._launches <= QUEUE

    def held_ns(self, calls: int) -> int:
        """How long to hold the device: while the calls are issued, or what the queue takes."""
        if not self._is_of_use:
            return 0
        ahead = self._margin * calls if self.covers(calls) else QUEUE / self._launches
        return min(int(ahead * self._call_ns) + SLACK_NS, LONGEST_NS)

    def learn(self, calls: int, issued_ns: int, *, enough: bool) -> None:
        """Take what so many calls took to issue, and hold longer if the last time was not enough.

        Where even the longest is not, the calls wait for the device themselves: it is then held no
        more, since the host would only wait for that, too. Nor is it for a pass that the queue does
        not take and whose issue is what takes the time: held for a part of it, the device would
        tell neither its own time nor that to issue.
        """
        if enough:
            self._margin = max(MARGIN, self._margin / 2)
        elif not self.covers(calls):
            self._is_of_use = False
        else:
            self._is_of_use = self._is_of_use and self.held_ns(calls) < LONGEST_NS
            self._margin = min(2 * self._margin, MOST_MARGIN)
        self._call_ns = issued_ns // calls


class Timed:
    """A call that is timed again and again, in the context that `around()` gives.

    With `evict`, which empties the caches, each call is timed by itself, after it.
    """

    def __init__(
        self,
        call: Call,
        device: str,
        *,
        launches: int = 1,
        evict: Call | None = None,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """Take a call that launches so many kernels."""
        self._call, self._device = call, device
        self._evict, self._around = evict, around
        self._head_start = HeadStart(max(launches, 1))

    def sample(self, calls: int = 1) -> Sample:
        """Mean of `calls` calls."""
        with self._around():
            synchronize(self._device)
            if self._device != "cuda":
                return self._on_cpu(calls)
            spans = [self._span(each) for each in self._spans(calls)]
        taken, issued = (sum(span[i] for span in spans) // calls for i in range(2))
        held = sum(span[3] for span in spans)
        return Sample(taken, issued, any(span[2] for span in spans), held)

    def warm_up(self, times: list[int], warm_by: float) -> bool:
        """Go on from `times` (ns), adding to them, until they settle; return whether they did.

        No call is begun after `warm_by`, in seconds of time.monotonic(), but for one on CUDA: it
        tells how long the calls take to issue.
        """
        if self._device == "cuda":
            times.append(self.sample().device_ns)
        while not rounds.is_warm(times) and time.monotonic() < warm_by:
            times.append(self.sample().device_ns)
        return rounds.is_warm(times)

    def _on_cpu(self, calls: int) -> Sample:
        taken = 0
        for each in [calls] if self._evict is None else [1] * calls:
            if self._evict is not None:
                self._evict()
            start = time.perf_counter_ns()
            for _ in range(each):
                self._call()
            taken += time.perf_counter_ns() - start
        return Sample(taken // calls, taken // calls)

    def _spans(self, calls: int) -> list[int]:
        """How many calls each span has: about equal numbers, all of which can be issued ahead."""
        if self._evict is not None:
            return [1] * calls
        spans = math.ceil(calls / self._head_start.most_calls)
        return [calls // spans + (index < calls % spans) for index in range(spans)]

    def _span(self, calls: int) -> tuple[int, int, bool, int]:
        """Time of the device and time to issue, in ns; whether the device waited for the host.

        And for how long it was held, in ns. Emptying the caches is issued while the device is held,
        and done before the first event of the calls.
        """
        hold, free, first, last = (torch.cuda.Event(enable_timing=True) for _ in range(4))
        hold.record()
        if held := self._head_start.held_ns(calls):
            torch.cuda._sleep(held * CYCLES_PER_NS)
        free.record()
        if self._evict is not None:
            self._evict()
        first.record()
        start = time.perf_counter_ns()
        for _ in range(calls):
            self._call()
        issued = time.perf_counter_ns()
        last.record()
        waited = bool(first.query())
        synchronize(self._device)
        tail = time.perf_counter_ns() - issued
        taken = between(first, last)
        if not self._head_start.covers(calls):
            waited = waited and tail < LEAST_TAIL * taken
        self._head_start.learn(calls, issued - start, enough=not waited)
        return taken, issued - start, waited, between(hold, free) if held else 0


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
