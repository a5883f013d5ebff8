"""One shape of suite `attn` in one type: which backends may take part, and their rounds."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from . import attn_timing, kernels, nvml, parity, rounds, timing
from .attn_backends import Call, prepared
from .attn_plan import AGAIN, REFERENCE, Choice, Device, Job
from .paced import Pace
from .records import Emitter, progress
from .roofline import Ceilings, floor_seconds
from .samples import Sample, round_record
from .timing import Timed

WARM_UP_SHARE = 0.25
"""Part of a shape's time that its backends may share, in equal parts, for warming up; a backend
that has not settled by then is timed all the same."""


@dataclass(frozen=True)
class Settings:
    """How a run is done.

    `base_s` is the budget of the default size on a CPU, in seconds; with `exact` that of this run.
    With a `pace` rounds are run as that allows, and the budget is for warming up alone.
    """

    seed: int
    least_rounds: int
    base_s: float
    exact: bool
    choice: Choice
    skip: tuple[str, ...] = ()
    """Shapes that were measured before, as SHAPE/TYPE."""
    pace: Pace | None = None

    @property
    def processes(self) -> int:
        """Probes that are there at a time: one that is paced takes turns with another."""
        return 2 if self.pace else 1


@dataclass(frozen=True)
class Place:
    """What the run's shapes have in common."""

    device: Device
    settings: Settings
    emitter: Emitter
    watch: nvml.Watch | None
    ceilings: Mapping[str, Ceilings | None]
    evict: Callable[[], object] | None


def case_id(job: Job, backend: str) -> str:
    """The name under which runs of different days are compared."""
    return f"attn/{job.shape.name}/{job.dtype}/{backend}"


class JobRun:
    """One shape in one type: the cases that are timed, and what each has taken so far."""

    def __init__(self, job: Job, place: Place, seconds: float, latest: float) -> None:
        self.job, self.place = job, place
        self.device, self.emit = place.device, place.emitter.emit
        self.begun = time.monotonic()
        self.seconds, self.latest = seconds, latest
        self.fastest_ns = float("inf")
        self.key = {"shape": job.shape.name, "dtype": job.dtype}

    def run(self) -> None:
        """Admit each backend or say why not, then time those that were admitted."""
        shape, names = self.job.shape, self.job.backends
        try:
            inputs = parity.inputs(shape, self.job.dtype, self.device, self.place.settings.seed)
            expected = parity.reference(*inputs, shape.h)
        except Exception as error:  # not even the inputs fit
            for name in names:
                self._refuse(name, *parity.explain(error))
            return
        admitted: dict[str, Timed] = {}
        for index, name in enumerate(names):
            requested = REFERENCE if name == AGAIN else name
            call = prepared(requested, shape.model, *inputs, shape.h)
            part = self.seconds * WARM_UP_SHARE * (index + 1) / len(names)
            timed = self._admitted(name, call, expected, warm_by=self.begun + part)
            if timed is not None:
                admitted[name] = timed
        calls = rounds.calls_per_sample(self.fastest_ns)
        if self.place.evict is not None:
            calls = min(calls, attn_timing.MOST_COLD_CALLS)
        self.emit("shape", {**shape.as_json(), **self._conditions(calls)})
        if admitted:
            self._rounds(admitted, calls)

    def _conditions(self, calls: int) -> dict[str, Any]:
        cache = "hot" if self.place.evict is None else "cold"
        return {"dtype": self.job.dtype, "cache": cache, "calls_per_sample": calls}

    def _case(self, name: str) -> dict[str, Any]:
        """What is known of a case beforehand: its name, and what it costs at least."""
        shape, dtype = self.job.shape, self.job.dtype
        itemsize = getattr(torch, dtype).itemsize
        known = self.place.ceilings[dtype]
        floor = None if known is None else floor_seconds(shape, itemsize, known)
        return {
            "id": case_id(self.job, name),
            **self.key,
            "requested": REFERENCE if name == AGAIN else name,
            "flops": shape.flops,
            "bytes": shape.least_bytes(itemsize),
            "exps": shape.scores,
            "floor_ns": None if floor is None else floor[0] * 1e9,
            "bound": None if floor is None else floor[1],
        }

    def _refuse(self, name: str, status: str, reason: str) -> None:
        progress(f"  {name}: {status}: {reason[:90]}")
        self.emit("case", {**self._case(name), "status": status, "reason": reason})
        self._free()

    def _free(self) -> None:
        """Give back what a call that ran out of memory left in torch's pool."""
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _admitted(
        self, name: str, call: Call, expected: torch.Tensor, warm_by: float
    ) -> Timed | None:
        """Check and warm up one backend, emit its case; return what times it, unless it fails."""
        case: dict[str, Any] = {}
        refused: tuple[str, str] | None = None
        timed: Timed | None = None
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                found = parity.check(call.once, expected, self.device)
                fault = found.fault(self.job.dtype, self.job.shape.m)
                if fault is None:
                    kernel, launches = kernels.resolved(call.once, self.device)
                    peak = timing.peak_bytes(call.once, self.device)
                    case.update(resolved_kernel=kernel, launches=launches, peak_bytes=peak)
                    timed = attn_timing.timed(call, self.device, launches, self.place.evict)
                    case.update(self._warm_up(timed, list(found.times_ns), warm_by))
            except Exception as error:
                refused = parity.explain(error, [str(each.message) for each in warned])
        if refused is not None:
            # After the exception is gone: its frames held what the call had allocated.
            self._refuse(name, *refused)
            return None
        case.update(rel_l2=found.rel_l2, max_abs=found.max_abs, bitwise=found.bitwise)
        status = "ok" if fault is None else "discarded"
        if fault is not None:
            progress(f"  {name}: {fault}")
        self.emit("case", {**self._case(name), **case, "status": status, "reason": fault})
        return timed

    def _warm_up(self, timed: Timed, times: list[int], warm_by: float) -> dict[str, Any]:
        """Go on from the repeats of the parity check until the times settle, or time is up."""
        warm = timed.warm_up(times, warm_by)
        self.fastest_ns = min(self.fastest_ns, min(times))
        return {"warm": warm, "warm_up_calls": len(times)}

    def _rounds(self, admitted: dict[str, Timed], calls: int) -> None:
        """Time all admitted backends in rounds; emit each round when it is done."""
        least, seed = self.place.settings.least_rounds, self.place.settings.seed
        pace = self.place.settings.pace
        samples: dict[str, list[int]] = {name: [] for name in admitted}
        index = kept = 0
        inside = held = spent = 0.0
        begun = time.monotonic()
        while admitted and (pace is None or pace.allows("round")):
            start = time.monotonic()
            order = rounds.order(list(admitted), seed, self.job.shape.name, index)
            taken, clocks, seen = self._round(order, admitted, calls)
            inside += sum(each.device_ns for each in taken.values()) * calls / 1e9
            held += sum(each.held_ns for each in taken.values()) / 1e9
            index += 1
            why = nvml.slowdown(seen)
            self.emit("round", {**self.key, **round_record(order, taken, clocks, seen, why)})
            if why is None and taken:
                kept += 1
                samples = {name: samples[name] for name in taken}
                for name, each in taken.items():
                    samples[name].append(each.device_ns)
            over = pace is None and (
                rounds.is_precise(samples, REFERENCE, kept, least)
                or self._time_is_over(begun, index, kept)
            )
            spent += time.monotonic() - start
            if over:
                break
        widths = rounds.half_widths(samples, REFERENCE) if kept else ()
        reasons = {name: rounds.shortfall(width, kept, least) for name, width in widths}
        self.emit(
            "shape_end",
            {
                **self.key,
                "rounds": kept,
                "reasons": reasons,
                **rounds.shares(inside, held, spent),
            },
        )

    def _round(
        self, order: Sequence[str], admitted: dict[str, Timed], calls: int
    ) -> tuple[dict[str, Sample], dict[str, int | None], dict[str, int]]:
        """Every backend once; the SM clock meanwhile; and what the driver counted in the round.

        One that fails now is taken out of `admitted`, and ends its case only.
        """
        watch = self.place.watch
        before = None if watch is None else watch.read()
        taken: dict[str, Sample] = {}
        clocks: dict[str, int | None] = {}
        for name in order:
            failed: tuple[str, str] | None = None
            try:
                taken[name], clocks[name] = nvml.clocked(
                    watch, partial(admitted[name].sample, calls)
                )
            except Exception as error:
                failed = parity.explain(error)
            if failed is not None:
                self._end_case(name, *failed)
                del admitted[name]
        seen = {} if watch is None or before is None else nvml.between(before, watch.read())
        return taken, clocks, seen

    def _end_case(self, name: str, status: str, reason: str) -> None:
        progress(f"  {name}: {status}: {reason[:90]}")
        ended = {"backend": name, "status": status, "reason": reason}
        self.emit("case_end", {**self.key, **ended})
        self._free()

    def _time_is_over(self, begun: float, done: int, kept: int) -> bool:
        """Whether one more round, as long as those since `begun` were on average, is too much."""
        now = time.monotonic()
        next_end = now + (now - begun) / done
        enough = kept >= self.place.settings.least_rounds
        return next_end > (min(self.begun + self.seconds, self.latest) if enough else self.latest)
