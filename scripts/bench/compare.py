"""Two stored runs: whether they may be compared, and what became of each case."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scripts.bench import stats
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Case, Comparison, Run
from scripts.workspace.errors import BadInput

LONGEST = 100
"""Characters of a reason; the whole of it is in the result file."""
NAMED = 3
"""So many cases without a verdict are named for each reason; of more, so many stand for all."""


@dataclass(frozen=True)
class Change:
    """A case in both runs, and the verdict on its times."""

    before: Case
    after: Case
    found: Comparison

    @property
    def kernel(self) -> str | None:
        """Which kernels ran, where these are not the same."""
        names = (self.before.resolved_kernel, self.after.resolved_kernel)
        return None if names[0] == names[1] else f"{names[0]} -> {names[1]}"


@dataclass(frozen=True)
class Compared:
    """What two runs have in common, and what they have not.

    `differences` are of software and flags, "torch 2.1.2 -> 2.8.0"; `missing` says why a case has
    no verdict.
    """

    changes: tuple[Change, ...]
    missing: tuple[str, ...]
    differences: tuple[str, ...]


def compared(before: Run, after: Run, seed: int = 0) -> Compared:
    """Hold each case of `after` against the same one of `before`.

    Raises BadInput with all reasons where the runs were taken on machines that differ, or where
    they have no case in common.
    """
    if reasons := list(obstacles(before, after)):
        raise BadInput(
            "these runs may not be compared:\n" + "\n".join(f"  {reason}" for reason in reasons),
            hint="Measure both on one machine, and in one place: the image or --in host.",
        )
    old, new = ({case.id: case for case in run.cases} for run in (before, after))
    without = {name: list(untimed(name, old, new)) for name in {**old, **new}}
    timed = [name for name, reasons in without.items() if not reasons]
    if not timed:
        raise BadInput("these runs have no case in common that was timed in both.")
    first, second = (_sides(cases, timed, seed) for cases in (old, new))
    found = stats.judge([stats.between(name, first[name], second[name], seed) for name in timed])
    return Compared(
        changes=tuple(Change(old[each.a], new[each.a], each) for each in found),
        missing=tuple(reason for reasons in without.values() for reason in reasons),
        differences=tuple(differing(before, after)),
    )


def obstacles(before: Run, after: Run) -> Iterator[str]:
    """Yield why two runs say nothing about each other: place, GPU, its driver's class, processor.

    In a Python of the host, threads, allocator and libraries are others than in the image.
    """
    pairs = {
        "measured": (f"in the {before.ran_in}", f"in the {after.ran_in}"),
        "processor": (before.host.cpu, after.host.cpu),
        "cores": (before.host.cores, after.host.cores),
        "GPU": tuple(run.gpu and run.gpu.name for run in (before, after)),
        "MIG": tuple(run.gpu and run.gpu.mig for run in (before, after)),
        "GPU power limit": tuple(run.gpu and run.gpu.power_limit for run in (before, after)),
        # NVIDIA's branches: what has one first number gets fixes, and no new compiler.
        "driver": tuple(
            run.gpu and run.gpu.driver and run.gpu.driver.partition(".")[0]
            for run in (before, after)
        ),
    }
    for what, (old, new) in pairs.items():
        if old != new:
            yield f"{what}: {old or 'none'} and {new or 'none'}"


def differing(before: Run, after: Run) -> Iterator[str]:
    """Yield what else the runs were not alike in: it may be why a case changed."""
    for kind in ("sw", "flags"):
        old, new = (getattr(run, kind).model_dump() for run in (before, after))
        for name in old:
            if kind == "flags" and None in (old[name], new[name]):
                continue  # that run did not tell
            if old[name] != new[name]:
                yield f"{name} {old[name]} -> {new[name]}"
    if before.lock_sha256 != after.lock_sha256:
        yield "lockfiles"
    if before.image_digest != after.image_digest:
        old, new = ((run.image_digest or "none")[:19] for run in (before, after))
        yield f"image {old} -> {new}"


def untimed(name: str, before: Mapping[str, Case], after: Mapping[str, Case]) -> Iterator[str]:
    """Yield why a case says nothing: which of the runs has no times of it."""
    for word, cases in (("before", before), ("after", after)):
        case = cases.get(name)
        if case is None:
            yield f"{name}: not in the run {word}"
        elif case.status == "ok" and len(case.samples_ns) < 2:
            yield f"{name}: timed once in the run {word}"
        elif case.status != "ok":
            yield f"{name}: {case.status} in the run {word}: {case.reason}"


def summarised(missing: Sequence[str]) -> Iterator[str]:
    """Yield the lines of `missing`; many cases that lack a verdict for one reason share a line.

    Reasons are cut short: as libraries give them, they name each shape, and fill a screen.
    """
    cases: dict[str, list[str]] = {}
    for line in missing:
        case, _, reason = line.partition(": ")
        cases.setdefault(textwrap.shorten(reason, LONGEST, placeholder=" ..."), []).append(case)
    for reason, names in cases.items():
        if len(names) > NAMED:
            yield f"{len(names)} cases {reason}: {', '.join(names[:NAMED])}, ..."
        else:
            yield from (f"{name}: {reason}" for name in names)


def _sides(cases: Mapping[str, Case], timed: Sequence[str], seed: int) -> dict[str, stats.Side]:
    """Return each case's samples with the noise floor of its shape."""
    floors = {}
    for name, again in cases.items():
        reference = cases.get(name.removesuffix(AGAIN))
        if name.endswith(AGAIN) and reference and _paired(reference, again):
            floor = stats.log_ratio(reference.samples_ns, again.samples_ns, seed)
            floors[_shape(name)] = floor
    return {
        name: stats.Side(cases[name].samples_ns, floors.get(_shape(name)), cases[name].cycles)
        for name in timed
    }


def _paired(a: Case, b: Case) -> bool:
    return len(a.samples_ns) == len(b.samples_ns) > 1


def _shape(name: str) -> str:
    return name.rpartition("/")[0]
