"""Suites `unet` and `vae`: whole networks, once with each of the web UI's optimizations.

For each workload the network is built, and passes with attention in float64 tell what each
backend must give. Those that agree are warmed up and timed in rounds of random order, the
reference twice in each: the A/A pair. A sample is one pass: a denoising step with guidance, or a
decode. Memory and the share of attention are taken in passes of their own before the rounds.

The reference is checked first and timed in any case. Another backend that the time does not reach
is discarded, and says so.
"""

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from . import attn_backends, forced, kernels, memory, nvml, parity, schedule, tf32, timing, watching
from . import device as machine
from .attn_job import Settings
from .attn_plan import Choice, Device
from .backends import Backend
from .records import Emitter, progress
from .rounds import AGAIN
from .samples import Failed, Sample
from .schedule import Schedule
from .workloads import SuiteName, Workload, backends, budget_s, budget_shares, chosen

if TYPE_CHECKING:  # they import diffusers, which may not be there
    from .attention import Survey
    from .networks import Network

REPEATS = {"cpu": 2, "cuda": 10}
"""Passes by which a backend's output is checked, and held against itself bit by bit."""
OUTPUT_TOLERANCE = {"float32": 2e-5, "float16": 4e-2, "bfloat16": 3e-1}
"""Largest relative L2 error of the network's output by type: about ten times what all backends
were seen to have in the VAE on a CPU (2.3e-6, 4.5e-3, 3.5e-2); in the UNets it was a third of that.
In the halves rounding hides most of what a wrong attention does to the output, so each call is held
against float64, too."""
SURVEY_SHARE = 0.4
"""Part of a workload's time after which no further backend's calls of attention are checked."""
ADMISSION_SHARE = 0.75
"""Part of a workload's time after which no further backend is admitted: the rest is for rounds."""
WARM_UP_SHARE = 0.5
"""Part of a workload's time by which warm-up must be over; a backend that has not settled by then
is timed all the same."""
OVERDRAFT = 0.2
"""Part of the later workloads' time that one may use up when it has not yet done the rounds that
it needs at least."""
TOO_LATE = "no time was left to check this case: --budget gives more"


UNET: Mapping[str, Backend] = attn_backends.UNET
VAE: Mapping[str, Backend] = {"sdp-3d": attn_backends.VAE["sdp"], **attn_backends.VAE}


def compared(suite: SuiteName, choice: Choice, device: Device) -> Mapping[str, Backend]:
    """The backends of a suite in the order in which they are shown, the reference first."""
    known = UNET if suite == "unet" else VAE
    return {name: known[name] for name in backends(suite, choice, device)}


def run(suite: SuiteName, settings: Settings, emitter: Emitter, started: float) -> None:
    """Measure every workload; `started` is the time.monotonic() at which the process began."""
    device: Device = "cuda" if torch.cuda.is_available() else "cpu"
    watch, notes = watching.begin(suite, device, beside=settings.processes - 1)
    head = machine.header()
    emitter.emit(
        "header",
        {**head, "suite": suite, "device": device, "seed": settings.seed, "notes": notes},
    )
    choice = settings.choice
    whole = chosen(suite, choice, device)
    todo = [
        (workload, share)
        for workload, share in zip(whole, budget_shares(whole), strict=True)
        if workload.key not in settings.skip
    ]
    _import_networks()
    if device == "cpu":
        memory.limit_to_free(processes=settings.processes)
    total = settings.base_s if settings.exact else budget_s(suite, choice, device, settings.base_s)
    # From here on: on a busy machine the imports alone may take longer than a short budget.
    begun = time.monotonic()
    end = begun + total * sum(share for _, share in todo)
    with torch.inference_mode():
        for index, (workload, share) in enumerate(todo):
            if settings.pace and not settings.pace.allows("shape"):
                break
            now, later = time.monotonic(), sum(each for _, each in todo[index + 1 :])
            if settings.pace:  # the time that goes by is not this run's own
                due, latest = now + total * share, float("inf")
            else:
                due = now + max(end - now, 0.0) * share / (share + later)
                latest = max(due, end - (1 - OVERDRAFT) * total * later)
            progress(f"{suite} {index + 1}/{len(todo)} {workload.key}: {due - now:.0f} s")
            _WorkloadRun(workload, device, settings, emitter, watch).run(due, latest)
    emitter.emit("final", {"seconds": round(time.monotonic() - started, 3)})


def _import_networks() -> None:
    """Import diffusers now; where that fails, every case says so later."""
    try:
        from . import networks  # noqa: F401
    except Exception as error:
        progress(f"  {type(error).__name__}: {error}"[:90])


class _WorkloadRun:
    """One workload: its network, and the backends that may be timed in it."""

    def __init__(
        self,
        workload: Workload,
        device: Device,
        settings: Settings,
        emitter: Emitter,
        watch: nvml.Watch | None,
    ) -> None:
        self.workload, self.device = workload, device
        self.settings, self.emitter, self.watch = settings, emitter, watch
        self.backends = compared(workload.suite, settings.choice, device)
        self.reference = next(iter(self.backends))
        self.timed: dict[str, timing.Timed] = {}
        """By backend: what warm-up has taught how long the passes take to issue."""

    def run(self, due: float, latest: float) -> None:
        """Admit each backend or say why not, then time those that were admitted."""
        begun = time.monotonic()
        if begun >= latest:
            self._give_up("discarded", TOO_LATE)
            return
        seconds = due - begun
        try:
            network, found = self._prepare(begun + SURVEY_SHARE * seconds)
        except Exception as error:
            self._give_up(*parity.explain(error))
            return
        self.emitter.emit("shape", self._shape_record(network, found))
        admitted: dict[str, schedule.Take] = {}
        for index, name in enumerate(self.backends, start=1):
            warm_by = begun + seconds * WARM_UP_SHARE * index / len(self.backends)
            again = name + AGAIN if name == self.reference else None
            admit_by = float("inf") if again else begun + ADMISSION_SHARE * seconds
            case = self._examined(name, network, found, warm_by, admit_by)
            for each in filter(None, (name, again)):
                self.emitter.emit("case", {**self._case(each), **case})
                if case["status"] == "ok":
                    admitted[each] = partial(self._sample, self.timed[name])
        if admitted:
            least, pace = self.settings.least_rounds, self.settings.pace
            plan = Schedule(self.settings.seed, least, due, latest, pace)
            key, emit = self.workload.key, self.emitter.emit
            schedule.run(admitted, self.reference, key, plan, emit, self.watch)

    def _timed(self, name: str, network: "Network", launches: int) -> timing.Timed:
        """One pass; the context of a forced kernel is around it, and not in its time."""
        call = partial(network.run, self.backends[name])
        around = partial(forced.around, name)
        return timing.Timed(call, self.device, launches=launches, around=around)

    def _sample(self, timed: timing.Timed) -> Sample | Failed:
        """One sample, or why there is none: that ends its case, and not the run."""
        try:
            return timed.sample()
        except Exception as error:
            failed = Failed(*parity.explain(error))
        # After the exception is gone: its frames held what the pass had allocated.
        self._free()
        return failed

    def _free(self) -> None:
        """Give back what a pass that ran out of memory left in torch's pool."""
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _prepare(self, survey_by: float) -> "tuple[Network, Survey]":
        # Here, not above: without diffusers there are still the cases, and why they are missing.
        try:
            from .attention import survey
            from .networks import Network
        except ImportError:
            raise
        except Exception as error:  # diffusers wraps what failed within it
            raise ImportError(f"{type(error).__name__}: {error}") from error

        network = Network(self.workload, self.device, self.settings.seed)
        with tf32.off(self.device):
            return network, survey(network, self.backends, survey_by)

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
        self, name: str, network: "Network", found: "Survey", warm_by: float, admit_by: float
    ) -> dict[str, Any]:
        """Check and warm up one backend: what its case holds beside its name."""
        case: dict[str, Any]
        try:
            if name in found.refused:
                status, reason = found.refused[name]
                case = {"status": status, "reason": reason}
            elif name in found.late or time.monotonic() > admit_by:
                case = {"status": "discarded", "reason": TOO_LATE}
            else:
                with forced.around(name):
                    case = self._measured(name, network, found, warm_by)
        except Exception as error:
            status, reason = parity.explain(error)
            case = {"status": status, "reason": reason}
        if case["status"] == "oom":
            self._free()
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
        fault = _fault(found.errors[name], output, dtype, found.most_keys)
        if fault is not None:
            return {**case, "status": "discarded", "reason": fault, "disagrees": True}
        times = list(output.times_ns)
        launches = kernels.launches(call, self.device)
        self.timed[name] = self._timed(name, network, launches)
        warm = self.timed[name].warm_up(times, warm_by)
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


def _fault(worst_call: float, output: parity.Parity, dtype: str, keys: int) -> str | None:
    """Why a backend must not be timed, or None: one call of it, or what the network made of all.

    `keys` are those of the network's largest call.
    """
    for what, error, tolerance in (
        ("a call of attention", worst_call, parity.tolerance(dtype, keys)),
        ("the network's output", output.rel_l2, OUTPUT_TOLERANCE[dtype]),
    ):
        if not error <= tolerance:
            return (
                f"{what} disagrees with attention in float64: relative L2 {error:.2e} is over "
                f"{tolerance:.0e}"
            )
    return None
