"""The figures that exports give: those of the cases that are ok, and none of any other."""

import math
from dataclasses import dataclass
from statistics import median

from scripts.bench import stats
from scripts.bench.probe.workloads import GUIDANCE
from scripts.bench.schema import Case, Run
from scripts.bench.stats import Estimate


@dataclass(frozen=True)
class Figures:
    """What one case came to: its median time, and what it did per second.

    Pictures and UNets have steps per second, VAEs decodes, all pictures of a batch together. What
    is per second is of the time that one waits for it: on a GPU that to issue, if it is longer.
    """

    case: Case
    time_ns: Estimate
    steps_per_s: Estimate | None
    decodes_per_s: Estimate | None

    @property
    def throughput(self) -> tuple[Estimate, str] | None:
        """What is per second, and its unit; None for single calls of attention."""
        if self.decodes_per_s is not None:
            return self.decodes_per_s, "decodes/s"
        return None if self.steps_per_s is None else (self.steps_per_s, "steps/s")


def figures(run: Run) -> list[Figures]:
    """The figures of every case that is ok, in the order of the run."""
    return [_of(case) for case in run.cases if case.status == "ok"]


def _of(case: Case) -> Figures:
    time = stats.median(case.samples_ns)
    waited = time if case.waited_ns == case.samples_ns else stats.median(case.waited_ns)
    steps, decodes = steps_of(case), decodes_of(case)
    return Figures(
        case,
        time,
        None if steps is None else _per_second(steps, waited),
        None if decodes is None else _per_second(decodes, waited),
    )


def iterations_per_s(case: Case) -> float | None:
    """Iterations a second, as tables have them; None for a single call of attention.

    An iteration is a step of the whole batch, or a decode of it.
    """
    count = whole(case.shape.get("steps", 1)) if case.suite == "image" else 1
    if case.suite == "attn" or count is None:
        return None
    return count * 1e9 / median(case.waited_ns)


def steps_of(case: Case) -> int | None:
    """The steps of all pictures of one sample, as system-info counts them: steps times batch.

    A UNet's input has two entries for each picture, for guidance, and a sample of it is one step.
    None for what makes no steps.
    """
    steps, batch = whole(case.shape.get("steps", 1)), whole(case.shape.get("batch", 1))
    if steps is None or batch is None:
        return None
    if case.suite == "unet":
        return max(batch // GUIDANCE, 1)
    return steps * batch if case.suite == "image" and "steps" in case.shape else None


def decodes_of(case: Case) -> int | None:
    """The pictures that one sample of a VAE decodes; None for all else."""
    return whole(case.shape.get("batch", 1)) if case.suite == "vae" else None


def whole(value: object) -> int | None:
    """`value` if it is a count that a shape may have, 1 to 10^6; else None."""
    return value if type(value) is int and 1 <= value <= 10**6 else None


def _per_second(count: int, time: Estimate) -> Estimate:
    """`count` over a time in ns."""
    value = count * 1e9 / time.value
    if not is_bounded(time):
        return Estimate(value, -math.inf, math.inf)
    return Estimate(value, count * 1e9 / time.high, count * 1e9 / time.low)


def in_units(found: Estimate, unit: float) -> Estimate:
    """`found` in units of which each has `unit` of its own, as 10^6 ns are one ms."""
    return Estimate(found.value / unit, found.low / unit, found.high / unit)


def is_bounded(estimate: Estimate) -> bool:
    """Whether there is an interval; a single sample has none."""
    return math.isfinite(estimate.low) and math.isfinite(estimate.high)


def device(run: Run) -> str:
    """What was measured, in words: results of two devices are never one series."""
    return run.gpu.name if run.gpu else f"{run.host.cpu}, {run.host.cores} cores"


def one_line(text: str) -> str:
    """`text` with every run of white space and of what cannot be printed as one space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
