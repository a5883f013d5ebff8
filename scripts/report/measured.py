"""What the sections on measurements share: cases in figures, shapes, and what they ran on."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from scripts.bench import stats
from scripts.bench.exports.figures import device, in_units, is_bounded
from scripts.bench.schema import Case, Comparison, Run
from scripts.bench.stats import Estimate
from scripts.report.content import Column, Missing, Table
from scripts.report.evidence import Drawn, drawn
from scripts.report.sources import Taken

SUITES = {
    "attn": "Attention calls",
    "unet": "U-Net",
    "vae": "VAE decoder",
    "image": "Images through the API",
}
NOTHING = Missing("no result is there yet", "./nox -s build bench")


@dataclass(frozen=True)
class Shape:
    """What cases of one table have in common: they ran in the same rounds."""

    suite: str
    name: str
    dtype: str | None
    cold: bool

    @property
    def label(self) -> str:
        """The shape in words."""
        return " ".join(filter(None, [self.name, self.dtype, "(cold cache)" if self.cold else ""]))


def shape_of(case: Case) -> Shape:
    """Return the shape that a case is of."""
    return Shape(
        suite=case.suite,
        name=str(case.shape.get("name", "no name")),
        dtype=case.dtype,
        cold=case.shape.get("cache") == "cold",
    )


def by_shape(cases: Iterable[Case]) -> dict[Shape, list[Case]]:
    """Return the cases of each shape, in the order of the run."""
    found: dict[Shape, list[Case]] = {}
    for case in cases:
        found.setdefault(shape_of(case), []).append(case)
    return found


def shown(runs: Sequence[Taken], suite: str) -> list[Drawn[Shape, Case]]:
    """Return the cases of each shape of a suite, in the runs that speak for it."""

    def shapes(taken: Taken) -> dict[Shape, list[Case]]:
        return by_shape(case for case in taken.run.cases if case.suite == suite)

    return drawn(runs, shapes, lambda case: case)


def backend(case: Case) -> str:
    """Return what a case is called in the tables: the backend that was asked for."""
    return case.id.rsplit("/", 1)[-1]


def milliseconds(case: Case) -> Estimate:
    """Return the median time of a case in ms, with its 95 % interval."""
    return in_units(_median(case.samples_ns), 1e6)


@lru_cache(maxsize=4096)
def _median(samples_ns: tuple[int, ...]) -> Estimate:
    """Bootstrap a case once: its bar, its row and its tooltip say the same."""
    return stats.median(samples_ns)


def median_ms(case: Case) -> float:
    """Return the median alone: an interval would take a bootstrap for each of many points."""
    return statistics.median(case.samples_ns) / 1e6


def ends(found: Estimate) -> tuple[float | None, float | None]:
    """Return the ends of an interval; None where there is none."""
    return (found.low, found.high) if is_bounded(found) else (None, None)


def verdict_on(case: Case, run: Run) -> Comparison | None:
    """Return the comparison of a case with its reference; None for the reference itself."""
    return next((found for found in run.compare if found.b == case.id), None)


def commit(run: Run) -> str:
    """Return the commit that measured, and whether files differed from it."""
    if not run.git.sha:
        return "no commit"
    return f"commit {run.git.sha[:9]}{' with changes' if run.git.dirty else ''}"


def provenance(run: Run) -> str:
    """Return in a line what a figure was measured on."""
    where = "in the image" if run.ran_in == "image" else "on the host"
    return ", ".join(
        [
            f"Run {run.run_id} of {run.utc}",
            f"torch {run.sw.torch}",
            f"xformers {run.sw.xformers or 'not installed'}",
            f"Python {run.sw.python} {where}",
            f"lock {(run.lock_sha256 or 'unknown')[:9]}",
            commit(run),
            f"seed {run.seed}",
        ]
    )


_RUN_COLUMNS = (
    Column("run", "run"),
    Column("utc", "UTC"),
    Column("device", "device"),
    Column("driver", "driver"),
    Column("cpu", "CPU"),
    Column("cores", "cores", "d"),
    Column("torch", "torch"),
    Column("cuda", "CUDA"),
    Column("xformers", "xformers"),
    Column("python", "Python"),
    Column("ran_in", "ran in"),
    Column("lock_sha256", "lock"),
    Column("image_digest", "image"),
    Column("git_sha", "commit"),
    Column("git_dirty", "changes"),
    Column("seed", "seed", "d"),
    Column("recorded", "recorded"),
    Column("cases", "cases", "d"),
    Column("notes", "notes"),
)


def runs_table(found: Iterable[Taken]) -> Table:
    """Return what every run was measured on."""
    return Table(
        _RUN_COLUMNS,
        [
            (
                taken.run.run_id,
                taken.run.utc,
                device(taken.run),
                taken.run.gpu.driver if taken.run.gpu else None,
                taken.run.host.cpu,
                taken.run.host.cores,
                taken.run.sw.torch,
                taken.run.sw.cuda,
                taken.run.sw.xformers,
                taken.run.sw.python,
                taken.run.ran_in,
                (taken.run.lock_sha256 or "")[:12],
                (taken.run.image_digest or "")[:19],
                (taken.run.git.sha or "")[:12],
                taken.run.git.dirty,
                taken.run.seed,
                taken.recorded,
                len(taken.run.cases),
                "; ".join(taken.run.notes),
            )
            for taken in found
        ],
    )
