"""What NVML tells of a round. No GPU is here: values are made up in the form of real ones."""

from types import SimpleNamespace
from typing import Any

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


def test_what_the_gpu_does_not_tell_is_left_out() -> None:
    assert nvml.between(Reading(), Reading()) == {}


@pytest.mark.parametrize(
    ("visible", "which"),
    [(None, 0), ("", 0), ("2", 2), ("3,1", 3), ("GPU-3c1f,GPU-77aa", "GPU-3c1f")],
)
def test_torchs_first_gpu_is_found_by_what_is_visible(
    visible: str | None, which: int | str
) -> None:
    assert nvml.selector(visible) == which


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

    def nvmlDeviceGetTemperature(self, _handle: object, _sensor: int) -> int:
        raise FakeError("Not Supported")

    def nvmlDeviceGetComputeRunningProcesses(self, _handle: object) -> list[object]:
        return [object(), object()]


def test_a_reading_takes_what_there_is() -> None:
    watch = nvml.Watch(FakeNvml(), None)
    assert watch.read() == Reading({"sw_power_cap_ns": 7}, sm_mhz=1980, mem_mhz=2619)
    assert watch.processes() == 2


def test_without_nvml_nothing_is_watched_and_the_reason_is_given() -> None:
    watch, why = nvml.watch(None)
    assert watch is None
    assert "nvidia-ml-py is not installed" in why or "NVML does not answer" in why
