"""What NVML tells of a round. No GPU is here: values are made up in the form of real ones."""

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from scripts.bench.probe import nvml
from scripts.bench.probe.nvml import Reading

QUIET = {
    "sw_power_cap_ns": 81_000_000,
    "sync_boost_ns": 0,
    "sw_thermal_slowdown_ns": 0,
    "hw_thermal_slowdown_ns": 5_000_000,
    "hw_power_brake_ns": 0,
}
BEFORE = Reading(QUIET, 0, 912_345_000, 1980, 2619, 51)


def after(counters: dict[str, int] | None = None, **changed: Any) -> Reading:
    fields: dict[str, Any] = {"energy_mj": 912_349_200, "sm_mhz": 1935, "mem_mhz": 2619}
    return Reading(**{"counters": {**QUIET, **(counters or {})}, **fields, **changed})


def test_a_round_has_differences_and_mean_clocks() -> None:
    seen = nvml.between(BEFORE, after({"sw_power_cap_ns": 84_000_000}, temperature_c=53))
    assert seen == {
        "sw_power_cap_ns": 3_000_000,
        "energy_mj": 4_200,
        "sm_mhz": 1958,
        "mem_mhz": 2619,
        "temperature_c": 53,
    }


def test_a_power_cap_discards_no_round() -> None:
    assert nvml.slowdown(nvml.between(BEFORE, after({"sw_power_cap_ns": 99_000_000}))) is None


@pytest.mark.parametrize(
    ("counter", "why"),
    [
        ("hw_thermal_slowdown_ns", "hw thermal slowdown"),
        ("sw_thermal_slowdown_ns", "sw thermal slowdown"),
        ("hw_power_brake_ns", "hw power brake"),
    ],
)
def test_heat_and_hardware_discard_a_round(counter: str, why: str) -> None:
    seen = nvml.between(BEFORE, after({counter: QUIET[counter] + 1}))
    assert nvml.slowdown(seen) == why


def test_what_happened_before_the_round_does_not_count() -> None:
    assert nvml.slowdown(nvml.between(BEFORE, after())) is None


def test_a_driver_that_does_not_count_still_tells_of_a_slowdown() -> None:
    assert nvml.slowdown(nvml.between(Reading(), Reading(active=0x40))) == "hw thermal slowdown"
    assert nvml.slowdown(nvml.between(Reading(), Reading(active=0x04))) is None
    all_bits = nvml.slowdown(nvml.between(Reading(), Reading(active=0xE8)))
    assert (
        all_bits == "hw slowdown and sw thermal slowdown and hw thermal slowdown and hw power brake"
    )


def test_each_counter_that_a_driver_lacks_is_made_up_for_by_its_bit() -> None:
    """The counters of heat (269 to 271) came later than that of the power cap."""
    some = {"sw_power_cap_ns": 5, "sw_thermal_slowdown_ns": 0}
    for active, why in (
        (0x40, "hw thermal slowdown"),
        (0x80, "hw power brake"),
        # Counted: what the counter does not show did not happen in the round.
        (0x20, None),
    ):
        seen = nvml.between(Reading(some), Reading(some, active=active))
        assert nvml.slowdown(seen) == why


def test_the_slowdown_that_no_counter_tells_is_seen_by_its_bit() -> None:
    seen = nvml.between(BEFORE, after(active=0x08 | 0x40))
    assert seen["active_slowdowns"] == 0x08
    assert nvml.slowdown(seen) == "hw slowdown"


def test_what_the_gpu_does_not_tell_is_left_out() -> None:
    assert nvml.between(Reading(), Reading()) == {}


class FakeError(Exception):
    """Stands for NVMLError."""


class FakeNvml:
    """Stands for pynvml with a driver that knows some of what is asked."""

    NVMLError = FakeError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP = 74
    NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN = 270

    def nvmlDeviceGetFieldValues(self, _handle: object, fields: list[int]) -> list[Any]:
        known = SimpleNamespace(nvmlReturn=0, valueType=3, value=SimpleNamespace(ullVal=7))
        unknown = SimpleNamespace(nvmlReturn=3, valueType=0, value=None)
        return [known if number == 74 else unknown for number in fields]

    def nvmlDeviceGetClockInfo(self, _handle: object, kind: int) -> int:
        return {1: 1980, 2: 2619}[kind]

    def nvmlDeviceGetCurrentClocksEventReasons(self, _handle: object) -> int:
        return 0x04

    def nvmlDeviceGetTemperature(self, _handle: object, _sensor: int) -> int:
        raise FakeError("Not Supported")

    def __init__(self, *processes: int, busy: int | None = None) -> None:
        self.processes, self.busy = list(processes), busy

    def nvmlDeviceGetComputeRunningProcesses(self, _handle: object) -> list[Any]:
        return [SimpleNamespace(pid=each) for each in self.processes]

    def nvmlDeviceGetUtilizationRates(self, _handle: object) -> Any:
        if self.busy is None:
            raise FakeError("Not Supported")
        return SimpleNamespace(gpu=self.busy, memory=0)


def test_a_reading_takes_what_there_is() -> None:
    watch = nvml.Watch(FakeNvml(), None)
    assert watch.read() == Reading(
        {"sw_power_cap_ns": 7}, 0x04, sm_mhz=1980, mem_mhz=2619, others=0
    )


class OldNvml(FakeNvml):
    """Stands for a driver of before 535, which has the reasons by their old name."""

    def nvmlDeviceGetCurrentClocksEventReasons(self, _handle: object) -> int:
        raise FakeError("Function Not Found")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _handle: object) -> int:
        return 0x40


def test_an_older_driver_is_asked_for_the_slowdowns_by_their_old_name() -> None:
    watch = nvml.Watch(OldNvml(), None)
    assert watch.begin(lambda: None) == []
    reading = watch.read()
    assert nvml.slowdown(nvml.between(reading, reading)) == "hw thermal slowdown"


def test_a_driver_that_tells_of_no_slowdown_is_noted_unless_it_counts_them() -> None:
    class Silent(OldNvml):
        def nvmlDeviceGetCurrentClocksThrottleReasons(self, _handle: object) -> int:
            raise FakeError("Not Supported")

    class Counting(Silent):
        NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN = 269
        NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN = 271

        def nvmlDeviceGetFieldValues(self, _handle: object, fields: list[int]) -> list[Any]:
            zero = SimpleNamespace(ullVal=0)
            return [SimpleNamespace(nvmlReturn=0, valueType=3, value=zero) for _ in fields]

    assert nvml.Watch(Silent(), None).begin(lambda: None) == [nvml.HEAT_UNSEEN]
    assert nvml.Watch(Counting(), None).begin(lambda: None) == []


@pytest.mark.parametrize("ours", [os.getpid(), 1_000_000], ids=["our id", "the host's id"])
def test_other_processes_are_told_at_the_start_and_counted_in_each_round(ours: int) -> None:
    """Also in a container, where the driver knows us by another id than our own."""
    driver = FakeNvml(71, 72)
    watch = nvml.Watch(driver, None)
    assert watch.begin(lambda: driver.processes.append(ours)) == [
        "the GPU is in use by 2 other processes"
    ]
    before = watch.read()
    assert nvml.between(before, before)["other_processes"] == 2
    driver.processes.remove(71)
    assert nvml.between(before, watch.read())["other_processes"] == 2
    driver.processes.remove(72)
    alone = watch.read()
    assert alone.others == 0
    assert "other_processes" not in nvml.between(alone, alone)
    driver.processes.append(73)
    assert nvml.between(alone, watch.read())["other_processes"] == 1


def test_a_gpu_of_our_own_is_not_said_to_be_in_use() -> None:
    driver = FakeNvml(busy=0)
    watch = nvml.Watch(driver, None)
    assert watch.begin(lambda: driver.processes.append(os.getpid())) == []
    assert watch.read().others == 0


def test_work_of_others_shows_where_the_driver_hides_their_processes() -> None:
    (told,) = nvml.Watch(FakeNvml(busy=37), None).begin(lambda: None)
    assert told == "the GPU was 37 % busy before anything was measured: others use it"


def test_others_on_the_gpu_discard_no_round() -> None:
    assert nvml.slowdown(nvml.between(BEFORE, after(others=3))) is None


def test_the_clock_of_a_sample_is_the_mean_of_before_and_after() -> None:
    class Falling(FakeNvml):
        def __init__(self) -> None:
            super().__init__()
            self.told = [1980, 1650]

        def nvmlDeviceGetClockInfo(self, _handle: object, _kind: int) -> int:
            return self.told.pop(0)

    assert nvml.clocked(nvml.Watch(Falling(), None), lambda: "taken") == ("taken", 1815)
    assert nvml.clocked(None, lambda: "taken") == ("taken", None)


def test_a_gpu_that_does_not_tell_its_clock_gives_none() -> None:
    class Silent(FakeNvml):
        def nvmlDeviceGetClockInfo(self, _handle: object, _kind: int) -> int:
            raise FakeError("Not Supported")

    assert nvml.clocked(nvml.Watch(Silent(), None), lambda: "taken") == ("taken", None)


@pytest.mark.parametrize("identifier", ["1", "GPU-77aa"])
def test_the_gpu_that_was_named_is_watched(
    identifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Two(FakeNvml):
        def nvmlInit(self) -> None: ...

        def nvmlSystemGetNVMLVersion(self) -> str:
            return "12.550"

        def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
            return ["first", "second"][index]

        def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
            return {"GPU-77aa": "second"}[uuid]

        def nvmlDeviceGetClockInfo(self, handle: object, _kind: int) -> int:
            return {"first": 1, "second": 2}[str(handle)]

    monkeypatch.setitem(sys.modules, "pynvml", cast(ModuleType, Two()))
    watch, told = nvml.watch(identifier)
    assert told == "NVML 12.550"
    assert watch is not None and watch.sm_mhz() == 2


def test_without_nvml_nothing_is_watched_and_the_reason_is_given() -> None:
    watch, why = nvml.watch("0")
    assert watch is None
    assert "nvidia-ml-py is not installed" in why or "NVML does not answer" in why
