"""Suite `attn`: the web UI's attention optimizations on the attention calls of SD1.5.

For each shape: every backend is held against float64 and warmed up, then all that agree are
timed in rounds of random order until the intervals are narrow or the shape's time is over.
Backend `sdp` runs twice in every round: the pair tells how far two equal things seem apart.
Tensors are used again and again, so caches are hot.

On a CPU a call has returned when it is done, so host time and sample are the same clock; on
CUDA `samples_ns` is the GPU's time between two events and `host_ns` the time to issue the calls.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from . import device as machine
from . import kernels, parity, rounds
from .backends import BACKENDS
from .records import Emitter, progress
from .shapes import Shape, budget_shares, chosen, floor_seconds

REFERENCE = "sdp"
AGAIN = "sdp@again"
WARM_UP_SHARE = 0.25
"""Part of a shape's time that its backends may share, in equal parts, for warming up; a backend
that has not settled by then is timed all the same."""
OVERDRAFT = 0.2
"""Part of the later shapes' time that a shape may use up when it has not yet done the rounds that
it needs at least."""

Call = Callable[[], Any]


@dataclass(frozen=True)
class Settings:
    """How a run is done; times in seconds."""

    seed: int
    least_rounds: int
    budget_s: float
    quick: bool


def case_id(shape: Shape, dtype: str, backend: str) -> str:
    """The name under which runs of different days are compared."""
    return f"attn/{shape.name}/{dtype}/{backend}"


def run(settings: Settings, emitter: Emitter, started: float) -> None:
    """Measure every shape; `started` is the time.monotonic() at which the budget began."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = "float16" if device == "cuda" else "float32"
    head = machine.header()
    emitter.emit("header", {**head, "suite": "attn", "device": device, "seed": settings.seed})
    gpu = head["gpu"]["name"] if head["gpu"] else None
    shapes = chosen(device, settings.quick)
    shares = budget_shares(shapes)
    end = started + settings.budget_s
    with torch.inference_mode():
        for index, shape in enumerate(shapes):
            left = max(end - time.monotonic(), 0.0) * shares[index] / sum(shares[index:])
            progress(f"attn {index + 1}/{len(shapes)} {shape.name} {dtype}: {left:.0f} s")
            latest = end - (1 - OVERDRAFT) * settings.budget_s * sum(shares[index + 1 :])
            _ShapeRun(shape, dtype, device, gpu, settings, emitter, left, latest).run()
    emitter.emit("final", {"seconds": round(time.monotonic() - started, 3)})


class _ShapeRun:
    """One shape: the cases that are timed, and what each has taken so far."""

    def __init__(
        self,
        shape: Shape,
        dtype: str,
        device: str,
        gpu: str | None,
        settings: Settings,
        emitter: Emitter,
        seconds: float,
        latest: float,
    ) -> None:
        self.shape, self.dtype, self.device, self.gpu = shape, dtype, device, gpu
        self.settings, self.emitter = settings, emitter
        self.begun = time.monotonic()
        self.seconds, self.latest = seconds, latest
        self.fastest_ns = float("inf")
        q, k, v = parity.inputs(shape, dtype, device, settings.seed)
        self.arguments = (q, k, v, shape.h)
        self.expected = parity.reference(q, k, v, shape.h)

    def run(self) -> None:
        """Admit each backend or say why not, then time those that were admitted."""
        admitted: dict[str, Call] = {}
        names = (*BACKENDS, AGAIN)
        for index, name in enumerate(names):
            backend = BACKENDS[REFERENCE if name == AGAIN else name]
            call = partial(backend, *self.arguments)
            part = self.seconds * WARM_UP_SHARE * (index + 1) / len(names)
            if self._admit(name, call, warm_by=self.begun + part):
                admitted[name] = call
        self.emitter.emit("shape", self._shape_record())
        if admitted:
            self._rounds(admitted)

    def _shape_record(self) -> dict[str, Any]:
        return {
            **self.shape.as_json(),
            "cache": "hot",
            "calls_per_sample": rounds.calls_per_sample(self.fastest_ns),
        }

    def _admit(self, name: str, call: Call, warm_by: float) -> bool:
        """Check and warm up one backend; emit its case."""
        case = {
            "id": case_id(self.shape, self.dtype, name),
            "shape": self.shape.name,
            "dtype": self.dtype,
            "requested": REFERENCE if name == AGAIN else name,
            **self._costs(),
        }
        try:
            found = parity.check(call, self.expected, self.device)
            fault = found.fault(self.dtype)
            if fault is None:
                case.update(self._warm_up(call, list(found.times_ns), warm_by))
                case["resolved_kernel"] = kernels.resolved(call, self.device)
                case["peak_bytes"] = self._peak_bytes(call)
        except Exception as error:
            status, reason = parity.explain(error)
            progress(f"  {name}: {status}: {reason[:90]}")
            self.emitter.emit("case", {**case, "status": status, "reason": reason})
            return False
        case.update(rel_l2=found.rel_l2, max_abs=found.max_abs, bitwise=found.bitwise)
        status = "ok" if fault is None else "discarded"
        if fault is not None:
            progress(f"  {name}: {fault}")
        self.emitter.emit("case", {**case, "status": status, "reason": fault})
        return fault is None

    def _costs(self) -> dict[str, Any]:
        itemsize = getattr(torch, self.dtype).itemsize
        floor = floor_seconds(self.shape, itemsize, self.gpu)
        return {
            "flops": self.shape.flops,
            "bytes": self.shape.least_bytes(itemsize),
            "exps": self.shape.scores,
            "floor_ns": None if floor is None else floor[0] * 1e9,
            "bound": None if floor is None else floor[1],
        }

    def _warm_up(self, call: Call, times: list[int], warm_by: float) -> dict[str, Any]:
        """Go on from the repeats of the parity check until the times settle, or time is up."""
        while not rounds.is_warm(times) and time.monotonic() < warm_by:
            times.append(self._sample(call, 1)[0])
        self.fastest_ns = min(self.fastest_ns, min(times))
        return {"warm": rounds.is_warm(times), "warm_up_calls": len(times)}

    def _peak_bytes(self, call: Call) -> int | None:
        """Memory that one call takes beyond its inputs; None where torch does not count it."""
        if self.device != "cuda":
            return None
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)

    def _sample(self, call: Call, calls: int) -> tuple[int, int]:
        """Mean time of one call in ns, of the device and of the host, over `calls` in a row."""
        if self.device != "cuda":
            start = time.perf_counter_ns()
            for _ in range(calls):
                call()
            taken = (time.perf_counter_ns() - start) // calls
            return taken, taken
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start = time.perf_counter_ns()
        first.record()
        for _ in range(calls):
            call()
        last.record()
        issued = time.perf_counter_ns() - start
        last.synchronize()
        return int(first.elapsed_time(last) * 1e6 / calls), issued // calls

    def _rounds(self, admitted: Mapping[str, Call]) -> None:
        """Time all admitted backends in rounds; emit each round when it is done."""
        calls = rounds.calls_per_sample(self.fastest_ns)
        samples: dict[str, list[int]] = {name: [] for name in admitted}
        widths: dict[str, float] = {}
        index = 0
        begun = time.monotonic()
        while True:
            order = rounds.order(list(admitted), self.settings.seed, self.shape.name, index)
            taken = {name: self._sample(admitted[name], calls) for name in order}
            for name, (sample, _) in taken.items():
                samples[name].append(sample)
            index += 1
            self.emitter.emit(
                "round",
                {
                    "shape": self.shape.name,
                    "order": order,
                    "samples_ns": {name: sample for name, (sample, _) in taken.items()},
                    "host_ns": {name: host for name, (_, host) in taken.items()},
                },
            )
            widths = _widths(samples)
            if rounds.is_precise(widths, index, self.settings.least_rounds):
                break
            if self._time_is_over(begun, index):
                break
        self.emitter.emit("shape_end", self._end_record(widths, index))

    def _time_is_over(self, begun: float, done: int) -> bool:
        """Whether one more round, as long as those since `begun` were on average, is too much."""
        now = time.monotonic()
        next_end = now + (now - begun) / done
        enough = done >= self.settings.least_rounds
        return next_end > (min(self.begun + self.seconds, self.latest) if enough else self.latest)

    def _end_record(self, widths: Mapping[str, float], count: int) -> dict[str, Any]:
        least = self.settings.least_rounds
        return {
            "shape": self.shape.name,
            "rounds": count,
            "reasons": {n: rounds.shortfall(width, count, least) for n, width in widths.items()},
        }


def _widths(samples: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Half-width of each case's ratio: to `sdp`; of `sdp` itself to its second run."""
    names = list(samples)
    base = REFERENCE if REFERENCE in samples else names[0]
    against = {name: AGAIN if name == base and AGAIN in samples else base for name in names}
    return {name: rounds.half_width(samples[against[name]], samples[name]) for name in names}
