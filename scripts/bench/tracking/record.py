"""Recording: a run that was measured becomes part of its device's history."""

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import get_args

from scripts.bench import schema
from scripts.bench.schema import Run
from scripts.bench.stats import LEAST_ROUNDS
from scripts.bench.tracking import changes
from scripts.bench.tracking.detection import change_points
from scripts.bench.tracking.store import BENCHMARKS, Device, baseline_text, device_of, is_glance
from scripts.workspace.errors import BadInput
from scripts.workspace.files import write_all
from scripts.workspace.model import MeasuredSuite
from scripts.workspace.paths import ROOT, shown


def refuse(run: Run) -> None:
    """Raise BadInput for a run that is no record: a glance, or one that timed nothing."""
    if is_glance(run):
        raise BadInput(
            f"the run {run.run_id} was a glance (--quick): others cannot be held against it.",
            hint="Measure without --quick, then record.",
        )
    if not timed(run):
        raise BadInput(f"the run {run.run_id} timed no case: there is nothing to record.")


def timed(run: Run, rounds: int = 1) -> set[str]:
    """The suites of which the run timed a case, in so many rounds at least."""
    return {
        case.suite for case in run.cases if case.status == "ok" and len(case.samples_ns) >= rounds
    }


def record(
    run: Run, root: Path = BENCHMARKS, instead: Collection[MeasuredSuite] = ()
) -> tuple[Device, list[Path]]:
    """Write the run, and make it the baseline of each of its suites that has none in its place.

    Of the suites `instead` it becomes the baseline in any case, and of one that it timed in so few
    rounds that nothing can follow from them, in none. Returns the device and the files
    that were written. Raises BadInput where the run is no record, or where another is recorded by
    its id.
    """
    refuse(run)
    run = _portable(run)
    device = device_of(run, root)
    path = device.path(run.run_id)
    if path.exists() and schema.load(path) != run:
        raise BadInput(f"{shown(path)} holds another run of that id.")
    baseline = device.baseline
    mine = baseline[run.ran_in]
    suites = timed(run, LEAST_ROUNDS)
    for suite in get_args(MeasuredSuite):
        if suite in suites and (suite in instead or suite not in mine):
            mine[suite] = run.run_id
    files = {path: schema.dumps(run), device.baselines: baseline_text(baseline)}
    return device, _written(files)


def _portable(run: Run) -> Run:
    """The run without the folders of whoever measured it: files in `argv` keep their names."""
    return run.model_copy(update={"argv": tuple(_named(argument) for argument in run.argv)})


def _named(argument: str) -> str:
    option, sign, value = argument.rpartition("=")
    path = PurePosixPath(value)
    return f"{option}{sign}{path.name}" if path.is_absolute() else argument


def rewrite_changes(
    device: Device, root: Path = ROOT, detect: changes.Detect = change_points
) -> list[Path]:
    """Make changes.json follow from the runs; return it if it changed. Raises what `changes` does.

    `root` is the repository whose history has the locks.
    """
    found = changes.changes(changes.series(device.runs()), root, detect)
    return _written({device.changes: changes.text(found)})


def _written(files: dict[Path, str]) -> list[Path]:
    """Write the files whose text is new; return these."""
    new = {
        path: text
        for path, text in files.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    write_all({**new})
    return list(new)
