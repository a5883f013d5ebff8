"""One shape of suite `attn` in one type: which backends may take part, and their rounds."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from . import attn_timing, kernels, nvml, parity, rounds
from .attn_backends import Call, prepared
from .attn_plan import AGAIN, REFERENCE, Choice, Device, Job
from .paced import Pace
from .records import Emitter, progress
from .roofline import Ceilings, floor_seconds

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
        admitted: dict[str, Call] = {}
        for index, name in enumerate(names):
            requested = REFERENCE if name == AGAIN else name
            call = prepared(requested, shape.model, *inputs, shape.h)
            part = self.seconds * WARM_UP_SHARE * (index + 1) / len(names)
            if self._admit(name, call, expected, warm_by=self.begun + part):
                admitted[name] = call
        calls = rounds.calls_per_sample(self.fastest_ns)
        self.emit("shape", {**shape.as_json(), **self._conditions(calls)})
        if admitted:
            self._rounds(admitted, calls)

    def _conditions(self, calls: int) -> dict[str, Any]:
        cold = self.place.evict is not None
        return {
            "dtype": self.job.dtype,
            "cache": "cold" if cold else "hot",
            "calls_per_sample": min(calls, attn_timing.MOST_COLD_CALLS) if cold else calls,
        }

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

    def _admit(self, name: str, call: Call, expected: torch.Tensor, warm_by: float) -> bool:
        """Check and warm up one backend; emit its case."""
        case: dict[str, Any] = {}
        refused: tuple[str, str] | None = None
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                found = parity.check(call.once, expected, self.device)
                fault = found.fault(self.job.dtype)
                if fault is None:
                    case.update(self._warm_up(call, list(found.times_ns), warm_by))
                    case["resolved_kernel"] = kernels.resolved(call.once, self.device)
                    case["peak_bytes"] = attn_timing.peak_bytes(call, self.device)
            except Exception as error:
                refused = parity.explain(error, [str(each.message) for each in warned])
        if refused is not None:
            # After the exception is gone: its frames held what the call had allocated.
            self._refuse(name, *refused)
            return False
        case.update(rel_l2=found.rel_l2, max_abs=found.max_abs, bitwise=found.bitwise)
        status = "ok" if fault is None else "discarded"
        if fault is not None:
            progress(f"  {name}: {fault}")
        self.emit("case", {**self._case(name), **case, "status": status, "reason": fault})
        return fault is None

    def _warm_up(self, call: Call, times: list[int], warm_by: float) -> dict[str, Any]:
        """Go on from the repeats of the parity check until the times settle, or time is up."""
        while not rounds.is_warm(times) and time.monotonic() < warm_by:
            times.append(attn_timing.sample(call, self.device, 1).device_ns)
        self.fastest_ns = min(self.fastest_ns, min(times))
        return {"warm": rounds.is_warm(times), "warm_up_calls": len(times)}

    def _rounds(self, admitted: dict[str, Call], calls: int) -> None:
        """Time all admitted backends in rounds; emit each round when it is done."""
        least, seed = self.place.settings.least_rounds, self.place.settings.seed
        pace = self.place.settings.pace
        samples: dict[str, list[int]] = {name: [] for name in admitted}
        index = kept = 0
        inside = spent = 0.0
        begun = time.monotonic()
        while admitted and (pace is None or pace.allows("round")):
            start = time.monotonic()
            order = rounds.order(list(admitted), seed, self.job.shape.name, index)
            taken, seconds, seen = self._round(order, admitted, calls)
            inside += seconds
            index += 1
            why = nvml.slowdown(seen)
            self.emit("round", {**self.key, **_round_record(order, taken, seen, why)})
            if why is None and taken:
                kept += 1
                samples = {name: samples[name] for name in taken}
                for name, each in taken.items():
                    samples[name].append(each.device_ns)
            # Precision not before the least rounds: looking takes time, and more with each.
            over = pace is None and (
                (kept >= least and rounds.is_precise(_widths(samples), kept, least))
                or self._time_is_over(begun, index, kept)
            )
            spent += time.monotonic() - start
            if over:
                break
        widths = _widths(samples) if kept else {}
        reasons = {name: rounds.shortfall(width, kept, least) for name, width in widths.items()}
        self.emit(
            "shape_end",
            {
                **self.key,
                "rounds": kept,
                "reasons": reasons,
                "outside_share": rounds.outside_share(inside, spent),
            },
        )

    def _round(
        self, order: Sequence[str], admitted: dict[str, Call], calls: int
    ) -> tuple[dict[str, attn_timing.Sample], float, dict[str, int]]:
        """Every backend once; the seconds in them; and what the driver counted meanwhile.

        One that fails now is taken out of `admitted`, and ends its case only.
        """
        watch = self.place.watch
        before = None if watch is None else watch.read()
        taken: dict[str, attn_timing.Sample] = {}
        inside = 0.0
        for name in order:
            failed: tuple[str, str] | None = None
            start = time.perf_counter()
            try:
                taken[name] = attn_timing.sample(
                    admitted[name], self.device, calls, self.place.evict
                )
            except Exception as error:
                failed = parity.explain(error)
            inside += time.perf_counter() - start
            if failed is not None:
                self._end_case(name, *failed)
                del admitted[name]
        if watch is None or before is None:
            return taken, inside, {}
        return taken, inside, nvml.between(before, watch.read())

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


def _round_record(
    order: Sequence[str],
    taken: Mapping[str, attn_timing.Sample],
    seen: Mapping[str, int],
    discarded: str | None,
) -> dict[str, Any]:
    return {
        "order": [name for name in order if name in taken],
        "samples_ns": {name: each.device_ns for name, each in taken.items()},
        "host_ns": {name: each.host_ns for name, each in taken.items()},
        "nvml": dict(seen),
        "discarded": discarded,
    }


def _widths(samples: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Half-width of each case's ratio: to `sdp`; of `sdp` itself to its second run."""
    names = list(samples)
    base = REFERENCE if REFERENCE in samples else names[0]
    against = {name: AGAIN if name == base and AGAIN in samples else base for name in names}
    return {name: rounds.half_width(samples[against[name]], samples[name]) for name in names}
