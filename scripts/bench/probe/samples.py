"""One sample of a case, and the record of a round of them; without torch."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """Mean times of one call in ns. On a CPU a call has returned when it is done: both are one.

    `issue_bound` says whether a GPU waited for the host, so that its time is the host's. `held_ns`
    is for how long it was held before all calls of the sample, which is no time of theirs.
    """

    device_ns: int
    host_ns: int
    issue_bound: bool | None = None
    held_ns: int = 0


class Failed(NamedTuple):
    """What came instead of a sample: the status that its case ends with, and why."""

    status: str
    reason: str


def round_record(
    order: Sequence[str],
    taken: Mapping[str, Sample],
    clocks: Mapping[str, int | None],
    seen: Mapping[str, int],
    discarded: str | None,
) -> dict[str, Any]:
    """What is written of a round, in which not all of `order` need have been taken.

    `clocks` are the SM clock of each sample in MHz, `seen` is what the driver counted meanwhile,
    `discarded` why the round does not count.
    """
    return {
        "order": [name for name in order if name in taken],
        "samples_ns": {name: each.device_ns for name, each in taken.items()},
        "host_ns": {name: each.host_ns for name, each in taken.items()},
        "issue_bound": _known({name: each.issue_bound for name, each in taken.items()}),
        "sm_mhz": _known(clocks),
        "nvml": dict(seen),
        "discarded": discarded,
    }


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
