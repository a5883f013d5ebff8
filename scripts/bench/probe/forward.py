"""Suites `unet` and `vae`: whole networks, once with each of the web UI's optimizations.

For each workload the network is built, and one pass with attention in float64 tells what each
backend must give. Those that agree are warmed up and timed in rounds of random order, the
reference twice in each: the A/A pair. A sample is one pass: a denoising step with guidance, or a
decode. Memory and the share of attention are taken in passes of their own before the rounds.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import device as machine
from . import kernels, nvml, parity, schedule, timing, watching
from .attn_plan import Device
from .backends import BACKENDS, Backend
from .paced import Pace
from .records import Emitter, progress
from .schedule import AGAIN, Schedule
from .workloads import SuiteName, Workload, chosen

if TYPE_CHECKING:  # they import diffusers, which may not be there
    from .attention import Survey
    from .networks import Network

UNET = ("sdp", "sdp-no-mem", "xformers", "Doggettx", "sub-quadratic", "V1", "InvokeAI", "naive")
VAE = ("xformers", "Doggettx", "sub-quadratic", "naive")
"""Of the backends, those that options of the web UI choose; its V1 and InvokeAI leave the VAE's
attention as it is, which is `naive`, and its sdp-no-mem does there what sdp does."""

REPEATS = {"cpu": 2, "cuda": 10}
"""Passes by which a backend's output is checked, and held against itself bit by bit."""
OUTPUT_TOLERANCE = {"float32": 2e-5, "float16": 4e-2, "bfloat16": 3e-1}
"""Largest relative L2 error of the network's output by type: about ten times what all backends
were seen to have in the VAE on a CPU (2.3e-6, 4.5e-3, 3.5e-2); in the UNets it was a third of that.
In the halves rounding hides most of what a wrong attention does to the output, so each call is held
against float64, too."""
WARM_UP_SHARE = 0.4
"""Part of a workload's time by which warm-up must be over; a backend that has not settled by then
is timed all the same."""
OVERDRAFT = 0.2
"""Part of the later workloads' time that one may use up when it has not yet done the rounds that
it needs at least."""
TOO_LATE = "the time was over before this case was checked"


@dataclass(frozen=True)
class Settings:
    """How a run is done; times in seconds.

    With a `pace` rounds are run as that allows, and the budget is for warming up alone.
    """

    seed: int
    least_rounds: int
    budget_s: float
    quick: bool
    skip: tuple[str, ...] = ()
    """Keys of workloads that were measured before."""
    pace: Pace | None = None


def sdp_3d(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Torch's attention on (b, n, c) as it is: no fused kernel takes three dimensions.

    So the web UI calls it in the VAE. Raises ValueError for more heads than the VAE's one.
    """
    if heads != 1:
        raise ValueError(f"three dimensions are one head's, not {heads}")
    out: Tensor = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return out


def compared(suite: SuiteName) -> tuple[str, Mapping[str, Backend]]:
    """The reference's name and all backends of a suite, in the order in which they are shown.

    In the VAE sdp runs as the web UI calls it, and with the fourth dimension that kernels ask for.
    """
    if suite == "unet":
        return "sdp", {name: BACKENDS[name] for name in UNET}
    both = {"sdp-3d": sdp_3d, "sdp-4d": BACKENDS["sdp"]}
    return "sdp-3d", both | {name: BACKENDS[name] for name in VAE}


def run(suite: SuiteName, settings: Settings, emitter: Emitter, started: float) -> None:
    """Measure every workload; `started` is the time.monotonic() at which the budget began."""
    device: Device = "cuda" if torch.cuda.is_available() else "cpu"
    watch, notes = watching.begin(suite, device)
    head = machine.header()
    emitter.emit(
        "header",
        {**head, "suite": suite, "device": device, "seed": settings.seed, "notes": notes},
    )
    whole = chosen(suite, device, settings.quick)
    workloads = [workload for workload in whole if workload.key not in settings.skip]
    budget_s = settings.budget_s * len(workloads) / len(whole)
    end = started + budget_s
    with torch.inference_mode():
        for index, workload in enumerate(workloads):
            if settings.pace:
                if not settings.pace.allows("shape"):
                    break
                now = time.monotonic()  # what went by until now is not this run's own time
                due = now + settings.budget_s / len(workloads)
                _WorkloadRun(workload, device, settings, emitter, watch).run(due, float("inf"))
                continue
            now, left = time.monotonic(), len(workloads) - index
            due = now + max(end - now, 0.0) / left
            latest = end - (1 - OVERDRAFT) * budget_s * (left - 1) / len(workloads)
            progress(f"{suite} {index + 1}/{len(workloads)} {workload.key}: {due - now:.0f} s")
            _WorkloadRun(workload, device, settings, emitter, watch).run(due, max(due, latest))
    emitter.emit("final", {"seconds": round(time.monotonic() - started, 3)})


class _WorkloadRun:
    """One workload: its network, and the backends that may be timed in it."""

    def __init__(
        self,
        workload: Workload,
        device: str,
        settings: Settings,
        emitter: Emitter,
        watch: nvml.Watch | None,
    ) -> None:
        self.workload, self.device = workload, device
        self.settings, self.emitter, self.watch = settings, emitter, watch
        self.reference, self.backends = compared(workload.suite)

    def run(self, due: float, latest: float) -> None:
        """Admit each backend or say why not, then time those that were admitted."""
        begun = time.monotonic()
        if begun >= latest:
            self._give_up("discarded", TOO_LATE)
            return
        try:
            network, found = self._prepare()
        except Exception as error:
            self._give_up(*parity.explain(error))
            return
        self.emitter.emit("shape", self._shape_record(network, found))
        admitted: dict[str, schedule.Take] = {}
        for index, (name, backend) in enumerate(self.backends.items(), start=1):
            call = partial(network.run, backend)
            warm_by = begun + (due - begun) * WARM_UP_SHARE * index / len(self.backends)
            again = name + AGAIN if name == self.reference else None
            case = self._examined(name, network, found, warm_by, latest)
            for each in filter(None, (name, again)):
                self.emitter.emit("case", {**self._case(each), **case})
                if case["status"] == "ok":
                    timed = timing.Timed(call, self.device, launches=case["launches"])
                    admitted[each] = timed.sample
        if admitted:
            least, pace = self.settings.least_rounds, self.settings.pace
            plan = Schedule(self.settings.seed, least, due, latest, pace)
            key, emit = self.workload.key, self.emitter.emit
            schedule.run(admitted, self.reference, key, plan, emit, self.watch)

    def _prepare(self) -> "tuple[Network, Survey]":
        # Here, not above: without diffusers there are still the cases, and why they are missing.
        try:
            from .attention import survey
            from .networks import Network
        except ImportError:
            raise
        except Exception as error:  # diffusers wraps what failed within it
            raise ImportError(f"{type(error).__name__}: {error}") from error

        network = Network(self.workload, self.device, self.settings.seed)
        return network, survey(network, self.backends)

    def _give_up(self, status: str, reason: str) -> None:
        """Emit a case with the reason for every backend: not even the network could be had."""
        progress(f"  {status}: {reason[:90]}")
        self.emitter.emit("shape", self.workload.as_json())
        for name in (*self.backends, self.reference + AGAIN):
            self.emitter.emit("case", {**self._case(name), "status": status, "reason": reason})

    def _case(self, name: str) -> dict[str, Any]:
        return {
            "id": f"{self.workload.suite}/{self.workload.key}/{name}",
            "shape": self.workload.key,
            "dtype": self.workload.dtype,
            "requested": name.removesuffix(AGAIN),
        }

    def _shape_record(self, network: "Network", found: "Survey") -> dict[str, Any]:
        return {
            **self.workload.as_json(),
            "parameters": network.parameters,
            "weights_bytes": network.weights_bytes,
            "attention": found.calls_as_json(),
            "cache": "hot",
            "calls_per_sample": 1,
        }

    def _examined(
        self, name: str, network: "Network", found: "Survey", warm_by: float, latest: float
    ) -> dict[str, Any]:
        """Check and warm up one backend: what its case holds beside its name."""
        case: dict[str, Any]
        try:
            if name in found.refused:
                status, reason = found.refused[name]
                case = {"status": status, "reason": reason}
            elif time.monotonic() > latest:
                case = {"status": "discarded", "reason": TOO_LATE}
            else:
                case = self._measured(name, network, found, warm_by)
        except Exception as error:
            status, reason = parity.explain(error)
            case = {"status": status, "reason": reason}
        if self.device == "cuda" and case["status"] == "oom":
            torch.cuda.empty_cache()
        if case["reason"] is not None:
            progress(f"  {name}: {case['status']}: {case['reason'][:90]}")
        return case

    def _measured(
        self, name: str, network: "Network", found: "Survey", warm_by: float
    ) -> dict[str, Any]:
        """Raises whatever the backend does."""
        from .attention import share

        assert found.largest is not None
        backend, dtype = self.backends[name], self.workload.dtype
        call = partial(network.run, backend)
        output = parity.check(call, found.output, self.device, REPEATS[self.device])
        case: dict[str, Any] = {
            "rel_l2": output.rel_l2,
            "max_abs": output.max_abs,
            "worst_call_rel_l2": found.errors[name],
            "bitwise": output.bitwise,
        }
        fault = _fault(found.errors[name], output, dtype)
        if fault is not None:
            return {**case, "status": "discarded", "reason": fault, "disagrees": True}
        times = list(output.times_ns)
        launches = kernels.launches(call, self.device)
        warm = timing.Timed(call, self.device, launches=launches).warm_up(times, warm_by)
        return {
            **case,
            "warm": warm,
            "warm_up_calls": len(times),
            "launches": launches,
            "attention_share": share(network, backend, self.device, launches),
            "peak_bytes": timing.peak_bytes(call, self.device),
            "resolved_kernel": kernels.resolved(partial(backend, *found.largest), self.device).name,
            "status": "ok",
            "reason": None,
        }


def _fault(worst_call: float, output: parity.Parity, dtype: str) -> str | None:
    """Why a backend must not be timed, or None: one call of it, or what the network made of all."""
    for what, error, tolerance in (
        ("a call of attention", worst_call, parity.TOLERANCE[dtype]),
        ("the network's output", output.rel_l2, OUTPUT_TOLERANCE[dtype]),
    ):
        if not error <= tolerance:
            return (
                f"{what} disagrees with attention in float64: relative L2 {error:.2e} is over "
                f"{tolerance:.0e}"
            )
    return None
