"""What a stored run knows of each workload's attention, by the web UI's options.

Without numpy: a build reads this, too.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from scripts.bench.probe import shapes
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Case, Comparison, Run
from scripts.workspace.model import Optimization

WHOLE = ("unet", "image", "vae")
"""Suites whose cases are all of a workload by themselves."""
SUITES = ("unet", "image", "attn")
"""What speaks of a step, the strongest first: whole networks, then calls of attention alone."""
GLANCE = "--quick"
"""The argument of `bench` that asks for few rounds."""
REFERENCE: Mapping[str, str] = {"vae": "sdp-3d"}
"""The backend that is the option `sdp`, where it is not of that name."""
BACKENDS: Mapping[str, Optimization] = {
    "sdp": "sdp",
    "sdp-3d": "sdp",
    "sdp-no-mem": "sdp-no-mem",
    "xformers": "xformers",
    "Doggettx": "doggettx",
    "sub-quadratic": "sub-quad",
    "V1": "split-v1",
    "InvokeAI": "split-invokeai",
    "naive": "none",
}
"""What the web UI has an option for; the other backends only explain."""


@dataclass(frozen=True)
class Setting:
    """On what was measured: a GPU, or a processor and its cores, and the versions in use."""

    device: str
    is_gpu: bool
    torch: str
    xformers: str | None


@dataclass(frozen=True)
class Workload:
    """What the web UI is asked for: a step of so many images, or the decode of one.

    `name` has model and resolution; `dtype` is None where the web UI was left to choose.
    """

    name: str
    images: int
    dtype: str | None

    def __str__(self) -> str:
        return " ".join(filter(None, [f"{self.name} x{self.images}", self.dtype]))


@dataclass(frozen=True)
class Part:
    """Cases that ran in the same rounds, of which a workload has so many `calls`.

    `found` holds each option against sdp, `again` sdp against itself.
    """

    calls: float
    cases: Mapping[Optimization, Case]
    found: Mapping[Optimization, Comparison]
    again: Comparison | None

    def samples(self, option: Optimization) -> Sequence[int]:
        """Times in ns, one a round; none for a case without result."""
        case = self.cases.get(option)
        return case.samples_ns if case is not None and case.status == "ok" else ()

    def weight(self, option: Optimization) -> float:
        """Time that this part takes of the workload with an option, in ns."""
        return self.calls * median(self.samples(option))


@dataclass(frozen=True)
class Evidence:
    """All that one run knows of a workload; `missing` are calls that were not measured.

    `scaled` says what was smaller than in the model, or is None.
    """

    suite: str
    run_id: str
    workload: Workload
    parts: tuple[Part, ...]
    scaled: str | None = None
    missing: tuple[str, ...] = ()

    def options(self) -> list[Optimization]:
        """The options that have a result in every part."""
        every = dict.fromkeys(option for part in self.parts for option in part.cases)
        return [name for name in every if all(part.samples(name) for part in self.parts)]

    def reasons(self, option: Optimization) -> list[str]:
        """Why an option has no result: its status and reason in each part, each once."""
        cases = (part.cases.get(option) for part in self.parts)
        bad = (case for case in cases if case is not None and case.status != "ok")
        return list(dict.fromkeys(f"{case.status}: {case.reason}" for case in bad))

    def peak_bytes(self, option: Optimization) -> int | None:
        """The most memory that one of its parts takes; None where that was not measured."""
        peaks = [part.cases[option].peak_bytes for part in self.parts]
        known = [peak for peak in peaks if peak is not None]
        return max(known) if len(known) == len(peaks) and known else None


def setting(run: Run) -> Setting:
    """On what `run` was taken."""
    device = run.gpu.name if run.gpu else f"{run.host.cpu}, {run.host.cores} cores"
    if run.gpu and run.gpu.mig == "Enabled":
        device += ", MIG"
    return Setting(device, run.gpu is not None, run.sw.torch, run.sw.xformers)


def gathered(runs: Iterable[Run]) -> dict[Setting, list[Evidence]]:
    """Return what is known of each workload on each setting: its strongest evidence.

    That is of the first of SUITES that measured all of it, and of its newest run; a glance
    (`--quick`) counts only where nothing else is known.
    """
    made: dict[Setting, dict[Workload, Evidence]] = {}
    for run in sorted(runs, key=lambda run: (GLANCE not in run.argv, run.utc, run.run_id)):
        known = made.setdefault(setting(run), {})
        for each in found_in(run):
            before = known.get(each.workload)
            if before is None or _rank(each) <= _rank(before):
                known[each.workload] = each
    return {
        where: sorted(known.values(), key=lambda each: _order(each.workload))
        for where, known in made.items()
        if known
    }


def _rank(evidence: Evidence) -> tuple[bool, int]:
    """The lower, the better: first whether it is whole, then by suite."""
    known = evidence.suite in SUITES
    lacking = bool(evidence.missing) or not evidence.options()
    return lacking, SUITES.index(evidence.suite) if known else 0


def _order(workload: Workload) -> tuple[str, str, int]:
    return workload.name, workload.dtype or "", workload.images


def found_in(run: Run) -> Iterator[Evidence]:
    """Yield what a run knows of each workload that it measured, or measured in part."""
    groups: dict[tuple[str, str, str | None], list[Case]] = {}
    for case in run.cases:
        key = (case.suite, str(case.shape.get("name")), case.dtype)
        groups.setdefault(key, []).append(case)
    for (suite, name, dtype), cases in groups.items():
        if suite in WHOLE:
            shape = cases[0].shape
            images = _images(suite, shape)
            workload = Workload(_name(suite, name, images), images, dtype)
            part = _part(suite, cases, run.compare, 1)
            scaled = shape.get("scaled")
            yield Evidence(suite, run.run_id, workload, (part,), scaled and str(scaled))
    yield from _steps(run, [cases for (suite, *_), cases in groups.items() if suite == "attn"])


def _name(suite: str, name: str, images: int) -> str:
    """Without the batch of a network's name, which its workload has beside it."""
    if suite in ("unet", "vae"):
        name = name.replace(f"-x{images}", "")
    return f"{name} decode" if suite == "vae" else name


def _images(suite: str, shape: Mapping[str, Any]) -> int:
    """A UNet's batch has two entries for an image, one without the prompt."""
    batch = shape.get("batch")
    if not isinstance(batch, int):
        return 1
    return batch // shapes.GUIDANCE_BATCH if suite == "unet" else batch


def _part(suite: str, cases: Iterable[Case], compare: Iterable[Comparison], calls: float) -> Part:
    named = {case.id.rpartition("/")[2]: case for case in cases}
    reference = REFERENCE.get(suite, "sdp")
    base = named.get(reference)
    found = {each.b: each for each in compare if base is not None and each.a == base.id}
    options = {BACKENDS[name]: case for name, case in named.items() if name in BACKENDS}
    again = named.get(reference + AGAIN)
    return Part(
        calls=calls,
        cases=options,
        found={name: found[case.id] for name, case in options.items() if case.id in found},
        again=found.get(again.id) if again is not None else None,
    )


def _steps(run: Run, groups: Iterable[Sequence[Case]]) -> Iterator[Evidence]:
    """Yield the steps of which the suite attn measured calls, by what one step makes of each.

    A call that was scaled down stands for as many as its batch and heads were divided by.
    """
    steps: dict[tuple[str, int, int, str | None], dict[tuple[int, int], Sequence[Case]]] = {}
    for cases in groups:
        shape = cases[0].shape
        if shape.get("cache") == "cold" or shape.get("model") not in shapes.UNETS:
            continue
        step = (shape["model"], shape["side"], shape["images"], cases[0].dtype)
        steps.setdefault(step, {})[shape["n"], shape["m"]] = cases
    for (model, side, images, dtype), measured in steps.items():
        parts, missing, scaled = [], [], []
        for call in shapes.unet(model, side, images):
            taken = measured.get((call.n, call.m))
            if taken is None:
                missing.append(call.name)
                continue
            shape = taken[0].shape
            divided = call.b * call.h / (shape["b"] * shape["h"])
            parts.append(_part("attn", taken, run.compare, call.calls_per_step * divided))
            if divided != 1:
                scaled.append(shape["name"])
        yield Evidence(
            "attn",
            run.run_id,
            Workload(f"{model}-{side}", images, dtype),
            tuple(parts),
            ", ".join(scaled) or None,
            tuple(missing),
        )
