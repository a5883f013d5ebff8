"""A CSV of several runs, in which Apache Otava looks for change points.

One row a run, the oldest first; a column of median times (ns) for each case, named by its id and
`ns`: https://github.com/apache/otava/blob/master/docs/CSV.md. Otava takes no empty cell, and a
figure that was not measured is none: only cases that are ok in every run have a column.
"""

import csv
import io
from collections.abc import Sequence

from scripts.bench.exports.figures import device, figures, one_line
from scripts.bench.schema import Run
from scripts.workspace.errors import BadInput

ATTRIBUTES = (
    "time",
    "commit",
    "run_id",
    "device",
    "torch",
    "cuda",
    "xformers",
    "lock_sha256",
    "image_digest",
)


def text(runs: Sequence[Run]) -> str:
    """The runs as CSV. Raises BadInput for runs of several devices, or one given twice."""
    runs = sorted(runs, key=lambda run: (run.utc, run.run_id))
    devices = sorted({device(run) for run in runs})
    if len(devices) > 1:
        raise BadInput(
            f"these runs are of {len(devices)} devices: {'; '.join(devices)}.",
            hint="A series is of one device: export the runs of each into a file of its own.",
        )
    if len({run.run_id for run in runs}) < len(runs):
        raise BadInput("a run was given twice: a series has each of its runs once.")
    medians = [{each.case.id: each.time_ns.value for each in figures(run)} for run in runs]
    columns = [name for name in medians[0] if all(name in each for each in medians)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ATTRIBUTES, *(f"{name} ns" for name in columns)])
    for run, found in zip(runs, medians, strict=True):
        writer.writerow([*_attributes(run), *(found[name] for name in columns)])
    return out.getvalue()


def _attributes(run: Run) -> list[str]:
    values = (
        run.utc,
        run.git.sha,
        run.run_id,
        device(run),
        run.sw.torch,
        run.sw.cuda,
        run.sw.xformers,
        run.lock_sha256,
        run.image_digest,
    )
    return [one_line(value or "") for value in values]


def left_out(runs: Sequence[Run]) -> list[str]:
    """The cases that are ok in a run, and not in every one."""
    found = [{case.id: None for case in run.cases if case.status == "ok"} for run in runs]
    every = dict.fromkeys(name for each in found for name in each)
    return [name for name in every if not all(name in each for each in found)]
