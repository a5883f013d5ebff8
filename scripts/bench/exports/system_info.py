"""Rows as the extension System Info logs and the community's benchmark page shows them.

https://github.com/vladmandic/sd-extension-system-info (scripts/system-info.py): eleven columns,
of which `performance` has the steps per second, rounded to two digits and joined by ` / `, of
batches 1, 2, 4, 8 and 16 up to the largest that was run. `error` stands for a batch without
result. Its page holds pictures of 512x512 in 20 steps; the note says what ours were.

What a result does not know stays empty: the model and a user's name.
"""

import hashlib
from collections.abc import Mapping, Sequence

from scripts.bench.exports.figures import Figures, figures, one_line, whole
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Case, Run

HEAD = (
    "timestamp",
    "performance",
    "version",
    "system",
    "libraries",
    "gpu",
    "optimizations",
    "model",
    "username",
    "note",
    "hash",
)
BATCHES = (1, 2, 4, 8, 16)
NO_RESULT = "error"


def text(run: Run) -> str:
    """A Markdown table with a row for each optimization and size; without pictures, no row."""
    found = {each.case.id: each for each in figures(run)}
    rows: dict[tuple[str, str], list[Case]] = {}
    for case in run.cases:
        if case.suite == "image" and not case.id.endswith(AGAIN):
            rows.setdefault((case.requested, _size(case)), []).append(case)
    lines = [HEAD, ("---",) * len(HEAD)]
    lines += [_row(run, size, cases, found) for (_, size), cases in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _size(case: Case) -> str:
    shape = case.shape
    width, height, steps = (whole(shape.get(name)) for name in ("width", "height", "steps"))
    known = width is not None and height is not None and steps is not None
    return f"{width}x{height} in {steps} steps" if known else "size unknown"


def _row(
    run: Run, size: str, cases: Sequence[Case], found: Mapping[str, Figures]
) -> tuple[str, ...]:
    """The columns, in which neither the separator nor what the extension takes out may stand."""
    of_batch = {whole(case.shape.get("batch", 1)): case for case in cases}
    version = f"sdkiln:{(run.git.sha or 'unknown')[:8]} image:{(run.image_digest or 'none')[:19]}"
    system = f"cpu:{run.host.cpu} system:Linux release:{run.host.kernel} python:{run.sw.python}"
    libraries = f"torch:{run.sw.torch} xformers:{run.sw.xformers or 'unavailable'}"
    described = [system, libraries, _gpu(run), cases[0].requested]
    columns = (
        run.utc.replace("T", " ").removesuffix("Z"),
        _performance(of_batch, found),
        version,
        *described,
        "",
        "",
        f"{size}, time of the API's answer, run {run.run_id}",
        hashlib.sha256("".join(described).encode()).hexdigest()[:6],
    )
    return tuple(one_line(each.replace("|", "/").replace('"', "")) for each in columns)


def _performance(cases: Mapping[int | None, Case], found: Mapping[str, Figures]) -> str:
    """A place for every batch up to the largest, as the page tells them by their places."""
    largest = max((batch for batch in BATCHES if batch in cases), default=1)
    return " / ".join(_speed(cases.get(batch), found) for batch in BATCHES if batch <= largest)


def _speed(case: Case | None, found: Mapping[str, Figures]) -> str:
    each = found.get(case.id) if case is not None else None
    if each is None or each.steps_per_s is None:
        return NO_RESULT
    return str(round(each.steps_per_s.value, 2))


def _gpu(run: Run) -> str:
    if run.gpu is None:
        return "device:cpu"
    return (
        f"device:{run.gpu.name} ({run.gpu.capability}) cuda:{run.sw.cuda} cudnn:{run.sw.cudnn} "
        f"driver:{run.gpu.driver}"
    )
