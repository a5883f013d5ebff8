"""What the driver counts about the GPU around each round, through nvidia-ml-py where it is there.

Counters and constants are NVML's (nvml.h); times of clock events are in ns, energy in mJ, clocks in
MHz. Nothing is ever set: clocks stay as they are.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Taken = TypeVar("Taken")

# Name in our records: the field's name in nvidia-ml-py after NVML_FI_DEV_CLOCKS_EVENT_REASON_.
_COUNTERS = {
    "sw_power_cap_ns": "SW_POWER_CAP",
    "sync_boost_ns": "SYNC_BOOST",
    "sw_thermal_slowdown_ns": "SW_THERM_SLOWDOWN",
    "hw_thermal_slowdown_ns": "HW_THERM_SLOWDOWN",
    "hw_power_brake_ns": "HW_POWER_BRAKE_SLOWDOWN",
}
_SLOWDOWNS = ("hw_thermal_slowdown_ns", "sw_thermal_slowdown_ns", "hw_power_brake_ns")
_ACTIVE: Mapping[int, tuple[str, str | None]] = {
    0x08: ("hw slowdown", None),
    0x20: ("sw thermal slowdown", "sw_thermal_slowdown_ns"),
    0x40: ("hw thermal slowdown", "hw_thermal_slowdown_ns"),
    0x80: ("hw power brake", "hw_power_brake_ns"),
}
"""Bits of the reasons that hold at a moment, and the counters that tell the same for a whole round.
The first has none; the others' are newer than the bits, and a driver may have some of them."""
UNWATCHED = (
    "THE GPU IS NOT WATCHED: no round is discarded for heat, and clocks, energy and others on the "
    "GPU are not known"
)
HEAT_UNSEEN = (
    "the driver does not tell whether heat or hardware slows the GPU down: not all rounds in which "
    "it did are discarded"
)
_REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
"""Two names of one question, whose bits are the same: drivers of before 535 know the second."""
_VALUES = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal"}
"""Member of NVML's union of values by NVML_VALUE_TYPE_*."""


@dataclass(frozen=True)
class Reading:
    """One look at the GPU; None is what this driver or GPU does not tell.

    `active` is the bit mask of the reasons for which clocks are low at this moment, `others` how
    many processes beside ours compute on the GPU.
    """

    counters: Mapping[str, int] = field(default_factory=dict)
    active: int = 0
    energy_mj: int | None = None
    sm_mhz: int | None = None
    mem_mhz: int | None = None
    temperature_c: int | None = None
    others: int | None = None


def between(before: Reading, after: Reading) -> dict[str, int]:
    """What a round had: counters' differences (zeros left out), mean clocks, last temperature."""
    made: dict[str, int] = {}
    for name, value in after.counters.items():
        if name in before.counters and value > before.counters[name]:
            made[name] = value - before.counters[name]
    counted = before.counters.keys() & after.counters.keys()
    uncounted = sum(bit for bit, (_, counter) in _ACTIVE.items() if counter not in counted)
    if active := after.active & uncounted:
        made["active_slowdowns"] = active
    if before.energy_mj is not None and after.energy_mj is not None:
        made["energy_mj"] = after.energy_mj - before.energy_mj
    for name in ("sm_mhz", "mem_mhz"):
        ends = [getattr(reading, name) for reading in (before, after)]
        if None not in ends:
            made[name] = round(sum(ends) / 2)
    if after.temperature_c is not None:
        made["temperature_c"] = after.temperature_c
    if others := max(before.others or 0, after.others or 0):
        made["other_processes"] = others
    return made


def slowdown(seen: Mapping[str, int]) -> str | None:
    """Why a round must be discarded: heat or hardware lowered the clocks. None if it need not."""
    found = [name.removesuffix("_ns").replace("_", " ") for name in _SLOWDOWNS if name in seen]
    active = seen.get("active_slowdowns", 0)
    found += [name for bit, (name, _) in _ACTIVE.items() if active & bit]
    return " and ".join(found) or None


def clocked(watch: "Watch | None", take: Callable[[], Taken]) -> tuple[Taken, int | None]:
    """What `take` gives, and the SM clock meanwhile in MHz: the mean of before and after.

    None where nothing is watched, or the clock is not told.
    """
    if watch is None:
        return take(), None
    before = watch.sm_mhz()
    taken = take()
    after = watch.sm_mhz()
    if before is None or after is None:
        return taken, None
    return taken, round((before + after) / 2)


class Watch:
    """Reads one GPU. What it cannot tell is left out of the readings; it never raises."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        """Take the module pynvml, initialized, and one of its device handles."""
        self._nvml, self._handle = nvml, handle
        self._ours = {os.getpid()}
        self._beside = 0

    def begin(self, use: Callable[[], object], beside: int = 0) -> list[str]:
        """Say who uses the GPU, then call `use`, by which this process starts to.

        So many processes `beside` ours are no strangers, whatever their ids.

        In a container we have another process id than the driver knows us by: what comes with
        `use` is taken for ours.
        """
        before = self._processes() or set()
        busy = getattr(self._ask("nvmlDeviceGetUtilizationRates"), "gpu", 0)
        use()
        self._ours |= (self._processes() or set()) - before
        told = []
        if self._reasons() is None and not self._counters().keys() >= set(_SLOWDOWNS):
            told.append(HEAT_UNSEEN)
        self._beside = beside
        if strangers := self._strangers(before):
            told.append(f"the GPU is in use by {strangers} other processes")
        if busy:
            told.append(f"the GPU was {busy} % busy before anything was measured: others use it")
        return told

    def read(self) -> Reading:
        """Look once; it takes a fraction of a millisecond."""
        nvml = self._nvml
        return Reading(
            counters=self._counters(),
            active=self._reasons() or 0,
            energy_mj=self._ask("nvmlDeviceGetTotalEnergyConsumption"),
            sm_mhz=self.sm_mhz(),
            mem_mhz=self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
            temperature_c=self._ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            others=None if (seen := self._processes()) is None else self._strangers(seen),
        )

    def _strangers(self, seen: set[int]) -> int:
        return max(0, len(seen - self._ours) - self._beside)

    def sm_mhz(self) -> int | None:
        """The SM clock at this moment, which is asked around each sample."""
        mhz: int | None = self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM)
        return mhz

    def _reasons(self) -> int | None:
        """The bit mask of the reasons that hold at this moment; None if the driver tells none."""
        answers = (self._ask(name) for name in _REASONS)
        return next((each for each in answers if each is not None), None)

    def _processes(self) -> set[int] | None:
        """Ids of the processes that compute on the GPU, as far as the driver shows them here."""
        found = self._ask("nvmlDeviceGetComputeRunningProcesses")
        return None if found is None else {each.pid for each in found}

    def _ask(self, function: str, *arguments: Any) -> Any:
        call = getattr(self._nvml, function, None)
        if call is None:  # an older nvidia-ml-py
            return None
        try:
            return call(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None

    def _counters(self) -> dict[str, int]:
        prefix = "NVML_FI_DEV_CLOCKS_EVENT_REASON_"
        fields = {ours: getattr(self._nvml, prefix + end, None) for ours, end in _COUNTERS.items()}
        known = {ours: number for ours, number in fields.items() if number is not None}
        values = self._ask("nvmlDeviceGetFieldValues", list(known.values())) if known else None
        return {
            ours: int(getattr(value.value, _VALUES[value.valueType]))
            for ours, value in zip(known, values or (), strict=False)
            if value.nvmlReturn == 0 and value.valueType in _VALUES
        }


def watch(identifier: str) -> tuple[Watch | None, str]:
    """A watch on the GPU of that index or UUID, or None; in words what is watched or why not."""
    try:
        import pynvml
    except ImportError as error:
        return None, f"{UNWATCHED}: nvidia-ml-py is not installed ({error})"
    try:
        pynvml.nvmlInit()
        return Watch(pynvml, _handle(pynvml, identifier)), (
            f"NVML {pynvml.nvmlSystemGetNVMLVersion()}"
        )
    except pynvml.NVMLError as error:
        return None, f"{UNWATCHED}: NVML does not answer ({error})"


def _handle(nvml: Any, identifier: str) -> Any:
    if identifier.isdigit():
        return nvml.nvmlDeviceGetHandleByIndex(int(identifier))
    return nvml.nvmlDeviceGetHandleByUUID(identifier)
