"""Rounds of several cases, run until the ratios are known well or the time is over.

Without torch: how a case is timed is the caller's.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import nvml, rounds
from .paced import Pace
from .records import progress
from .samples import Failed, Sample, round_record

Take = Callable[[], Sample | Failed]
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
    round in which `watch` saw the GPU slowed down does not count. A case that fails is in no later
    round; the others go on.
    """
    pace, least = schedule.pace, schedule.least_rounds
    left = dict(cases)
    samples: dict[str, list[int]] = {name: [] for name in cases}
    begun = time.monotonic()
    inside = held = spent = 0.0
    done = kept = 0
    while left and (pace is None or pace.allows("round")):
        started = time.monotonic()
        order = rounds.order(list(left), schedule.seed, key, done)
        taken, clocks, seen = _round(order, left, key, emit, watch)
        samples = {name: samples[name] for name in left}
        inside += sum(each.device_ns for each in taken.values()) / 1e9
        held += sum(each.held_ns for each in taken.values()) / 1e9
        why = nvml.slowdown(seen)
        done += 1
        if why is None and taken:
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
    widths = rounds.half_widths(samples, reference) if kept else ()
    reasons = {name: rounds.shortfall(width, kept, least) for name, width in widths}
    end = {"shape": key, "rounds": kept, "reasons": reasons}
    emit("shape_end", {**end, **rounds.shares(inside, held, spent)})


def _round(
    order: Sequence[str], left: dict[str, Take], key: str, emit: Emit, watch: nvml.Watch | None
) -> tuple[dict[str, Sample], dict[str, int | None], dict[str, int]]:
    """Every case once; the SM clock meanwhile; and what the driver counted in the round.

    One that fails is taken out of `left`, and its end is emitted.
    """
    before = None if watch is None else watch.read()
    taken: dict[str, Sample] = {}
    clocks: dict[str, int | None] = {}
    for name in order:
        found, clock = nvml.clocked(watch, left[name])
        if isinstance(found, Failed):
            progress(f"  {name}: {found.status}: {found.reason[:90]}")
            ended = {"backend": name, "status": found.status, "reason": found.reason}
            emit("case_end", {"shape": key, **ended})
            del left[name]
        else:
            taken[name], clocks[name] = found, clock
    seen = {} if watch is None or before is None else nvml.between(before, watch.read())
    return taken, clocks, seen


def _is_over(begun: float, done: int, kept: int, schedule: Schedule) -> bool:
    """Whether one more round, as long as those since `begun` were on average, is too much."""
    now = time.monotonic()
    next_end = now + (now - begun) / done
    enough = kept >= schedule.least_rounds
    return next_end > (min(schedule.due, schedule.latest) if enough else schedule.latest)
