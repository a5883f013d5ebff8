"""Rounds of several cases, run until the ratios are known well or the time is over.

Without torch: how a case is timed is the caller's.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import nvml, rounds
from .paced import Pace
from .samples import Sample, round_record

Take = Callable[[], Sample]
Emit = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Schedule:
    """When to stop; `due` and `latest` are moments of time.monotonic() in seconds.

    With a `pace` that alone says so.

    A round that would end after `due` is not begun, unless fewer than `least_rounds` were done:
    these may go on until `latest`.
    """

    seed: int
    least_rounds: int
    due: float
    latest: float
    pace: Pace | None = None


def run(
    cases: Mapping[str, Take],
    reference: str,
    key: str,
    schedule: Schedule,
    emit: Emit,
    watch: nvml.Watch | None = None,
) -> None:
    """Time every case once per round in an order drawn anew, and emit each round when it is done.

    `key` is what the records call the set of cases. The first round is run whatever the time. A
    round in which `watch` saw the GPU slowed down does not count.
    """
    pace, least = schedule.pace, schedule.least_rounds
    samples: dict[str, list[int]] = {name: [] for name in cases}
    begun = time.monotonic()
    inside = spent = 0.0
    done = kept = 0
    while pace is None or pace.allows("round"):
        started = time.monotonic()
        before = None if watch is None else watch.read()
        order = rounds.order(list(cases), schedule.seed, key, done)
        taken: dict[str, Sample] = {}
        clocks: dict[str, int | None] = {}
        for name in order:
            taken[name], clocks[name] = nvml.clocked(watch, cases[name])
            inside += taken[name].device_ns / 1e9
        seen = {} if watch is None or before is None else nvml.between(before, watch.read())
        why = nvml.slowdown(seen)
        done += 1
        if why is None:
            kept += 1
            for name, each in taken.items():
                samples[name].append(each.device_ns)
        emit("round", {"shape": key, **round_record(order, taken, clocks, seen, why)})
        over = pace is None and (
            rounds.is_precise(samples, reference, kept, least)
            or _is_over(begun, done, kept, schedule)
        )
        spent += time.monotonic() - started
        if over:
            break
    outside = rounds.outside_share(inside, spent)
    widths = rounds.half_widths(samples, reference) if kept else ()
    reasons = {name: rounds.shortfall(width, kept, least) for name, width in widths}
    end = {"shape": key, "rounds": kept, "reasons": reasons, "outside_share": outside}
    emit("shape_end", end)


def _is_over(begun: float, done: int, kept: int, schedule: Schedule) -> bool:
    """Whether one more round, as long as those since `begun` were on average, is too much."""
    now = time.monotonic()
    next_end = now + (now - begun) / done
    enough = kept >= schedule.least_rounds
    return next_end > (min(schedule.due, schedule.latest) if enough else schedule.latest)
