"""The gate: a new run against the baselines of its device, and whether a second session agrees."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from scripts.bench.compare import Change, Compared, compared, obstacles
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Place, Run
from scripts.bench.tracking import locks
from scripts.bench.tracking.causes import because
from scripts.bench.tracking.locks import Webui
from scripts.bench.tracking.store import Baselines, Device
from scripts.workspace.errors import BadInput, Failure, Inconclusive
from scripts.workspace.model import MeasuredSuite
from scripts.workspace.paths import ROOT, shown

SEEN_NOTHING = "the gate has seen nothing."
LONGER = "Measure on a quieter machine, or for longer: --budget SECONDS"

Interleave = Callable[[Webui, Webui, Collection[str]], Compared]
"""Measures cases of one suite with two locks in turns, the baseline's first.

Raises a Failure where that session cannot be held.
"""


@dataclass(frozen=True)
class Plan:
    """What is held against what: the baseline run of each chosen suite in one place."""

    device: Device
    where: Place
    baselines: dict[MeasuredSuite, Run]


def plan(device: Device, suites: Sequence[str] = (), where: Place | None = None) -> Plan:
    """The baselines of these suites on a device; of all that have one, where none is named.

    Without a place it is the image, or the host where that alone has them. Raises BadInput for a
    suite without baseline there, and for a device without any.
    """
    known = device.baseline
    having = [place for place, each in known.items() if each and set(suites) <= set(each)]
    place = where or (having or ["image"])[0]
    mine = known[place]
    missing = [name for name in suites if name not in mine]
    if missing or not mine:
        of = f" of {', '.join(missing)}" if missing else ""
        raise BadInput(
            f"{device.name} has no baseline{of} in the {place}; {_has(known)}.",
            hint=f"Record one here: ./nox -s bench -- {'--in host ' if place == 'host' else ''}"
            f"--suite {','.join(suites) or 'attn'} --record",
        )
    runs = {
        name: device.run(run_id) for name, run_id in mine.items() if name in suites or not suites
    }
    for name, run in runs.items():
        if run.ran_in != place:
            raise BadInput(
                f"{shown(device.baselines)}: the baseline of {name} was measured in the "
                f"{run.ran_in}, and stands with those of the {place}.",
                hint="Those of the host stand below a line [host], those of the image above it.",
            )
    return Plan(device, place, runs)


def _has(known: Mapping[Place, Baselines]) -> str:
    found = [f"of {', '.join(suites)} in the {place}" for place, suites in known.items() if suites]
    return f"it has {' and '.join(found)}" if found else "it has none"


@dataclass(frozen=True)
class Held:
    """The suites that share a baseline: its run, the new one, and what became of each case."""

    before: Run
    after: Run
    suites: tuple[MeasuredSuite, ...]
    found: Compared

    def with_verdict(self, verdict: str) -> list[Change]:
        """The cases of a verdict; the second run of a reference is none."""
        return [
            change
            for change in self.found.changes
            if change.found.verdict == verdict and not change.found.b.endswith(AGAIN)
        ]

    @property
    def lost(self) -> list[str]:
        """Cases that the baseline timed and the new run could not, with the reason."""
        timed = _timed(self.before)
        return [
            f"{case.id}: {case.status}: {case.reason}"
            for case in self.after.cases
            if case.id in timed and case.status in ("unavailable", "unsupported", "oom")
        ]


def hold(plan: Plan, run: Run, seed: int = 0) -> list[Held]:
    """Hold each suite of a run against its baseline.

    Raises BadInput where they may not be compared or have no case in common, and Inconclusive where
    they have, but not twice timed in both.
    """
    held = []
    for run_id in dict.fromkeys(before.run_id for before in plan.baselines.values()):
        suites = tuple(name for name, each in plan.baselines.items() if each.run_id == run_id)
        before, after = (_only(each, suites) for each in (plan.baselines[suites[0]], run))
        try:
            found = compared(before, after, seed)
        except BadInput as error:
            if not list(obstacles(before, after)) and _timed(before) & _timed(after):
                raise Inconclusive(
                    f"no case was timed twice, as in baseline {run_id}: {SEEN_NOTHING}",
                    hint=LONGER,
                ) from None
            raise BadInput(
                f"baseline {run_id} of {', '.join(suites)}: {error.message}",
                hint=f"Measure as the baseline was. To make the new run the baseline, delete its "
                f"line in {shown(plan.device.baselines)} and record it with --of RUN.json --record",
            ) from None
        held.append(Held(before, after, suites, found))
    return held


def _timed(run: Run) -> set[str]:
    return {case.id for case in run.cases if case.status == "ok"}


def _only(run: Run, suites: Collection[str]) -> Run:
    cases = tuple(case for case in run.cases if case.suite in suites)
    return run.model_copy(update={"cases": cases, "compare": ()})


@dataclass(frozen=True)
class Confirmed:
    """A case that both sessions found slower, by the second one's figures; causes as `because`."""

    case: str
    ratio: float
    ci: tuple[float, float]
    because: tuple[str, ...]


@dataclass(frozen=True)
class Second:
    """What a second session says of what looked slower: yes, no, or not; the last two in words."""

    confirmed: tuple[Confirmed, ...]
    refuted: tuple[str, ...]
    undecided: tuple[str, ...]


def confirm(held: Sequence[Held], interleave: Interleave, root: Path = ROOT) -> Second:
    """Measure the cases that look slower again, the locks of both runs in turns in one session.

    Locks are looked up in the repository at `root`.
    """
    confirmed: list[Confirmed] = []
    refuted: list[str] = []
    undecided: list[str] = []
    for each in held:
        slower = sorted(each.with_verdict("SLOWER"), key=lambda change: change.after.suite)
        for suite, changes in groupby(slower, key=lambda change: change.after.suite):
            first = {change.found.b: change for change in changes}
            try:
                found = interleave(*both_locks(each, suite, root), frozenset(first))
            except Failure as failure:
                undecided += [
                    f"{case}: {change.found.ratio:.3f} times as long in a run of its own; "
                    f"{failure.message}"
                    for case, change in first.items()
                ]
                continue
            again = {change.found.b: change.found for change in found.changes}
            reasons = because(each.before, each.after, suite, root)
            for case, change in first.items():
                if case not in again:
                    undecided.append(_untimed(case, found.missing))
                elif again[case].verdict == "SLOWER":
                    confirmed.append(Confirmed(case, again[case].ratio, again[case].ci, reasons))
                else:
                    refuted.append(
                        f"{case}: {change.found.ratio:.3f} times as long in a run of its own, "
                        f"{again[case].ratio:.3f} in turns with the old lock: "
                        f"{again[case].verdict}"
                    )
    return Second(tuple(confirmed), tuple(refuted), tuple(undecided))


def _untimed(case: str, missing: Sequence[str]) -> str:
    """Why the second session has no verdict on a case, in its own words if it has some."""
    said = (line for line in missing if line.startswith(f"{case}: "))
    return next(said, f"{case}: the second session did not time it")


def both_locks(held: Held, suite: str, root: Path = ROOT) -> tuple[Webui, Webui]:
    """The webui locks of the baseline and of the new run.

    Raises Inconclusive where one cannot be had, and where they are the same: no session can find
    packages slower than themselves. Then it was something else, which the message names.
    """
    before, after = (
        _lock(run, word, root) for run, word in ((held.before, "baseline"), (held.after, "new"))
    )
    if (before.text, before.probe) == (after.text, after.probe):
        reasons = ", ".join(_other(held, suite, root))
        raise Inconclusive(
            f"both runs have the same packages ({before.name}), so no dependency became slower; "
            + (f"what differs is: {reasons}" if reasons else "it is the machine, or who shares it")
        )
    return before, after


def _other(held: Held, suite: str, root: Path) -> Iterator[str]:
    yield from because(held.before, held.after, suite, root)
    old, new = ((run.image_digest or "none")[:19] for run in (held.before, held.after))
    if old != new:
        yield f"image {old} -> {new}"


def _lock(run: Run, word: str, root: Path) -> Webui:
    if run.lock_sha256 is None:
        raise Inconclusive(f"the {word} run was in a Python of the host, which no lock describes")
    found = locks.of_run(run, root)
    if found is None:
        raise Inconclusive(
            f"the lockfiles of the {word} run ({run.lock_sha256[:12]}) are not in git's history: "
            "they were not committed, or this clone is too shallow"
        )
    webui = locks.webui(run, found)
    if webui is None:
        raise Inconclusive(
            f"no lock of the {word} run ({found.where}) has its torch {run.sw.torch} for Python "
            f"{run.sw.python}"
        )
    return webui
