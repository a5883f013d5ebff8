"""A session of two locks: fresh processes of both, again and again, whose rounds alternate.

A pair is one process in the environment of each lock. Both prepare a shape (parity, warm-up), then
they take its rounds in turns, in an order that is drawn anew for each round; one works at a time.
Then comes the next shape, until the pair is done, and the next pair. Why there are several pairs,
scripts/bench/ab/blocks.py says.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.bench import attn, networks, stats
from scripts.bench.ab import locks, results
from scripts.bench.ab.ask import Ask, Side, checked
from scripts.bench.ab.blocks import LEAST_PAIRS, MOST_PAIRS, difference, is_precise
from scripts.bench.ab.paced import Paced, paced
from scripts.bench.ab.results import AFTER, BEFORE, Streams, blocks
from scripts.bench.compare import Change, Compared, untimed
from scripts.bench.probe import rounds
from scripts.bench.probing import GRACE_S
from scripts.bench.schema import Run
from scripts.bench.suite import Settings
from scripts.workspace.cli import say

ROUNDS = 8
"""Of each shape in each pair of processes: more would make a pair's ratio surer, but cost pairs."""
OVERDRAFT = 0.5
"""Part of the budget by which the least number of pairs may outlast it."""
SETTLE_S = 0.02
"""Between turns: the threads of an OpenMP runtime go on spinning for milliseconds after their work
(libgomp, GOMP_SPINCOUNT)."""


def interleave(before: Side, after: Side, ask: Ask) -> Compared:
    """Measure what is asked with both locks in turns; the verdict on each case of `after`.

    Installs the locks first, if they are not, and writes two result files below .workspace/bench/,
    also of a session that is stopped or fails. Raises BadInput for a choice that no probe knows,
    Failure where a probe ends before it is done, and what `locks.installed` raises.
    """
    checked(ask.suite, ask.choice)
    sides = {BEFORE: before, AFTER: after}
    pythons = {name: locks.installed(side) for name, side in sides.items()}
    streams: Streams = {BEFORE: [], AFTER: []}
    try:
        measure(pythons, sides, ask, streams)
    finally:
        runs = results.kept(sides, ask, streams)
    return compared(sides, runs, ask, streams)


def compared(
    sides: Mapping[str, Side], runs: Mapping[str, Run], ask: Ask, streams: Streams
) -> Compared:
    """Return the verdicts on the records of a session, with what has none and why."""
    old, new = ({case.id: case for case in runs[name].cases} for name in (BEFORE, AFTER))
    taken = blocks(streams)
    names = [name for name in {**old, **new, **dict.fromkeys(ask.cases)} if _is_asked(ask, name)]
    without = {name: list(untimed(name, old, new)) for name in names}
    for name in names:
        if not without[name] and len(taken.get(name, ())) < 2:
            without[name] = [f"{name}: timed in one pair of processes, which tells nothing"]
    found = stats.judge([difference(name, taken[name]) for name in names if not without[name]])
    return Compared(
        changes=tuple(Change(old[each.a], new[each.a], each) for each in found),
        missing=tuple(reason for reasons in without.values() for reason in reasons),
        differences=tuple(
            results.differing(sides[BEFORE], sides[AFTER], runs[BEFORE], runs[AFTER])
        ),
    )


def _is_asked(ask: Ask, case: str) -> bool:
    """Whether a case gets a verdict; the second run of a reference would have the first's."""
    return case in ask.cases if ask.cases else not case.endswith(rounds.AGAIN)


def measure(
    pythons: Mapping[str, Path], sides: Mapping[str, Side], ask: Ask, into: Streams
) -> None:
    """Run pairs of processes until the intervals are narrow or the time is over.

    Their records go into `into` as they come. Raises Failure where a process ends early.
    """
    begun = time.monotonic()
    due = begun + ask.budget_s
    latest = due + OVERDRAFT * ask.budget_s
    for index in range(MOST_PAIRS):
        say(f"bench: pair {index + 1} of processes, {LEAST_PAIRS} at least: {ask.suite}")
        start = time.monotonic()
        _pair(pythons, sides, ask, index, latest, into)
        now = time.monotonic()
        a_pair, missing = now - start, LEAST_PAIRS - (index + 1)
        # The first imports what the disk has not given yet: it takes longer than the others.
        if index and missing > 0 and now + missing * a_pair > latest:
            needed = now - begun + missing * a_pair
            say(
                f"bench: {LEAST_PAIRS} pairs of processes would take {needed:.0f} s, and fewer "
                f"conclude nothing. Take --budget {needed:.0f}, or fewer cases."
            )
            return
        wanted = {name: each for name, each in blocks(into).items() if _is_asked(ask, name)}
        if missing <= 0 and (is_precise(wanted) or now + a_pair > due):
            return


def _pair(
    pythons: Mapping[str, Path],
    sides: Mapping[str, Side],
    ask: Ask,
    index: int,
    latest: float,
    into: Streams,
) -> None:
    """One process of each lock from its start to its end; `latest` ends the rounds."""
    names = sorted(pythons)
    with ExitStack() as stack, _limit(latest + GRACE_S) as guard:
        both: dict[str, Paced] = {}
        for name in rounds.order(names, ask.seed, "start", index):
            into[name].append([])
            process = paced(sides[name].name, pythons[name], _arguments(ask, index), into[name][-1])
            both[name] = stack.enter_context(process)
            guard.append(both[name].kill)
        for each in both.values():
            each.listen()
        shapes = 0
        while any(each.next for each in both.values()):
            turns = _turns(names, ask.seed, f"{index}/{shapes}")
            _shape(both, turns, latest)
            shapes += 1


def _turns(names: Sequence[str], seed: int, key: str) -> Iterator[list[str]]:
    """The order of the processes, drawn anew for each round."""
    for index in range(ROUNDS + 1):
        yield rounds.order(names, seed, key, index)


def _shape(both: Mapping[str, Paced], turns: Iterator[list[str]], latest: float) -> None:
    """Have both prepare their next shape, and take its rounds in turns."""
    for name in next(turns):
        if time.monotonic() > latest:
            both[name].end()
        else:
            both[name].go()
    for order in turns:
        if time.monotonic() > latest or any(each.next != "round" for each in both.values()):
            break
        for name in order:
            time.sleep(SETTLE_S)
            both[name].go()
    for each in both.values():
        if each.next == "round":
            each.end()


def _arguments(ask: Ask, index: int) -> list[str]:
    """What the probes of a pair are told: the same, so that both have the same data and order."""
    settings = Settings(
        seed=ask.seed + index,
        rounds=ROUNDS,
        budget_s=ask.budget_s / (2 * LEAST_PAIRS),
        exact=True,
        choice=ask.choice,
    )
    if ask.suite == "attn":
        return attn.arguments(settings)
    return networks.arguments(ask.suite, settings)


@contextmanager
def _limit(moment: float) -> Iterator[list[Callable[[], None]]]:
    """Call what the list holds at a moment of time.monotonic(), if the block lasts until then."""
    ends: list[Callable[[], None]] = []

    def end() -> None:
        say("bench: the probes were not done in time and are stopped.")
        for each in ends:
            each()

    timer = threading.Timer(max(moment - time.monotonic(), 0.0), end)
    timer.daemon = True
    timer.start()
    try:
        yield ends
    finally:
        timer.cancel()
