"""Runs of whole steps and of single calls, in which each backend takes as long as it is told to."""

import math
import random
from collections.abc import Mapping
from statistics import median
from typing import Any

from scripts.bench import stats
from scripts.bench.probe import shapes
from scripts.bench.schema import Case, Comparison, Gpu, Run, Software
from tests.support.results import case_of, run_of

ROUNDS = 30
STEP_NS = 20_000_000
NOISE = 0.001
MARGIN = stats.margin_with_floor(None)


def gpu(name: str, **changes: Any) -> Gpu:
    """A GPU of that name, as torch calls it."""
    fields: dict[str, Any] = dict.fromkeys(Gpu.model_fields)
    return Gpu(**{**fields, "capability": "8.9", "name": name, **changes})


def software(torch: str, xformers: str | None) -> Software:
    """These versions; the others are of no importance."""
    return Software(torch=torch, xformers=xformers, cuda="12.1", cudnn=None, python="3.10.14")


def measured(
    prefix: str, ratios: Mapping[str, float], base_ns: float, noise: float, **changes: Any
) -> tuple[list[Case], list[stats.Difference]]:
    """The cases of one shape, and how each differs from the first, which runs twice.

    `ratios` are times over the first's; `noise` is the spread of samples, and each interval reaches
    as far to either side.
    """
    reference = next(iter(ratios))
    cases = {}
    for name, ratio in {**ratios, f"{reference}@again": 1.0}.items():
        chance = random.Random(f"{prefix}/{name}")
        samples = [round(base_ns * ratio * chance.lognormvariate(0, noise)) for _ in range(ROUNDS)]
        cases[name] = case_of(f"{prefix}/{name}", *samples, **changes)
    base = cases.pop(reference)
    differences = []
    for case in cases.values():
        pairs = zip(base.samples_ns, case.samples_ns, strict=True)
        found = median(math.log(mine / theirs) for theirs, mine in pairs)
        interval = stats.Estimate(found, found - noise, found + noise)
        differences.append(stats.Difference(base.id, case.id, interval, MARGIN, p=0.0, enough=True))
    return [base, *cases.values()], differences


def step_run(
    ratios: Mapping[str, float],
    name: str = "sd15-512",
    *,
    suite: str = "unet",
    batch: int = 2,
    dtype: str | None = "float16",
    scaled: str | None = None,
    noise: float = NOISE,
    **changes: Any,
) -> Run:
    """A run of one whole network or picture; `ratios` begin with the reference's."""
    shape = {"name": name, "batch": batch, "scaled": scaled}
    prefix = f"{suite}/{name}/{dtype}"
    cases, found = measured(prefix, ratios, STEP_NS, noise, suite=suite, shape=shape, dtype=dtype)
    return run_of(tuple(cases), tuple(stats.judge(found)), **changes)


def calls_run(
    ratios: Mapping[str, Mapping[str, float]],
    *,
    times_ns: Mapping[str, float] | None = None,
    images: int = 1,
    most_scores: int = 2**62,
    noise: float = NOISE,
    **changes: Any,
) -> Run:
    """A run of SD1.5's calls at 512x512; `ratios` by the call's name, "" being all the others."""
    cases: list[Case] = []
    differences: list[stats.Difference] = []
    for call in shapes.unet("sd15", 512, images):
        wanted = ratios.get(call.name, ratios[""])
        if not wanted:
            continue
        shape = shapes.scale(call, most_scores)
        more = {"suite": "attn", "shape": {**shape.as_json(), "cache": "hot"}, "dtype": "float16"}
        base = (times_ns or {}).get(call.name, call.scores / 100)
        made, found = measured(f"attn/{shape.name}/float16", wanted, base, noise, **more)
        cases += made
        differences += found
    return run_of(tuple(cases), tuple(stats.judge(differences)), **changes)


def comparison(ratio: float, low: float, high: float, verdict: Any = "INCONCLUSIVE") -> Comparison:
    """A comparison with that interval."""
    return Comparison(a="a", b="b", ratio=ratio, ci=(low, high), p=0.0, q=0.0, verdict=verdict)
