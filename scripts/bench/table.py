"""Results as tables for a person: one per shape, every backend a row."""

import math
import statistics
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.bench import stats
from scripts.bench.compare import Compared, summarised
from scripts.bench.exports.figures import iterations_per_s
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Case, Comparison, Run

PIPE_WIDTH = 160
_STYLES = {"FASTER": "green", "SLOWER": "red", "SAME": "none", "INCONCLUSIVE": "yellow"}
NETWORKS = ("unet", "vae")
"""A sample of these is one pass through a network, and one iteration."""


def console(*, stderr: bool = False) -> Console:
    """Stdout, or stderr; as wide as the terminal, or wide enough for the table in a pipe."""
    made = Console(highlight=False, stderr=stderr)
    return made if made.is_terminal else Console(highlight=False, stderr=stderr, width=PIPE_WIDTH)


def show(run: Run, to: Console) -> None:
    """Print every shape's table, then why cases are missing, and what all was measured on."""
    verdicts = {found.b: found for found in run.compare}
    references = {found.a for found in run.compare}
    for _, cases in groupby(
        run.cases, key=lambda case: (case.suite, case.shape["name"], case.dtype)
    ):
        to.print(_table(list(cases), verdicts, references))
    for line in _missing(run.cases):
        to.print(line)
    device = run.gpu.name if run.gpu else f"{run.host.cpu}, {run.host.cores} cores"
    where = f"image {run.image_digest[:19]}" if run.image_digest else "in the host, no image"
    to.print(
        f"On {device}; torch {run.sw.torch}, xformers {run.sw.xformers or 'not installed'}, "
        f"Python {run.sw.python}; {where}, seed {run.seed}."
    )
    for note in run.notes:
        to.print(escape(f"Note: {note}."))
    if outside := _outside(run.cases):
        to.print(outside)
    to.print(
        "Ratios are times over the reference's, Hodges-Lehmann with a 95 % interval; "
        f"{AGAIN} is the reference once more, the session's noise. "
        "`smallest` is the least change that the samples could show."
    )


def show_changes(found: Compared, to: Console, margin: float = stats.MARGIN_APART) -> None:
    """Print what became of each case of two runs, and what else the runs were not alike in.

    `margin` is what counts as no difference.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("case", overflow="fold")
    for title in ("before ms", "after ms", "ratio", "smallest"):
        made.add_column(title, justify="right", no_wrap=True)
    made.add_column("verdict", no_wrap=True)
    made.add_column("kernel")
    for change in found.changes:
        times = (stats.median(case.samples_ns) for case in (change.before, change.after))
        verdict = change.found.verdict
        made.add_row(
            change.before.id,
            *(f"{time.value / 1e6:.4g}" for time in times),
            _interval(change.found.ratio, *change.found.ci),
            _smallest(change.found),
            f"[{_STYLES[verdict]}]{verdict}[/]",
            escape(change.kernel or "the same"),
        )
    to.print(made)
    for reason in summarised(found.missing):
        to.print(escape(reason))
    if found.differences:
        to.print(escape(f"The runs differ in: {', '.join(found.differences)}."))
    to.print(
        f"A difference of less than {margin:.0%} is called SAME. "
        "`smallest` is the least change that these samples could show."
    )


def _smallest(found: Comparison) -> str:
    return "-" if found.smallest is None else f"{found.smallest:.1%}"


def _outside(cases: Iterable[Case]) -> str:
    """What of the rounds' time the harness took for itself; empty where that was not counted."""
    shapes = {(case.suite, case.shape.get("name"), case.dtype): case.shape for case in cases}
    shares = [each["outside_share"] for each in shapes.values() if "outside_share" in each]
    if not shares:
        return ""
    middle, most = statistics.median(shares), max(shares)
    told = f"Of the rounds' time {middle:.1%} was outside the measured calls (at most {most:.1%})."
    warming = [each["warmup_share"] for each in shapes.values() if "warmup_share" in each]
    if warming:
        told += f" Of the pictures' {statistics.median(warming):.0%} was switching and warm-up."
    return told


def _missing(cases: Iterable[Case]) -> Iterable[str]:
    """One line for each backend that has a case without result: the first reason in full."""
    seen: dict[tuple[str, str], tuple[str, int]] = {}
    for case in cases:
        if case.status != "ok":
            key = (f"{case.suite}: {case.requested}", case.status)
            reason, count = seen.get(key, (case.reason or "no reason given", 0))
            seen[key] = (reason, count + 1)
    for (name, status), (reason, count) in seen.items():
        times = f" ({count} cases)" if count > 1 else ""
        yield escape(f"{name} {status}{times}: {reason}")


def _table(
    cases: list[Case], verdicts: Mapping[str, Comparison], references: Collection[str]
) -> Table:
    first = cases[0]
    title = " ".join(filter(None, [first.suite, first.shape["name"], first.dtype]))
    if "weights_bytes" in first.shape:
        title += f", weights {first.shape['weights_bytes'] / 1e6:,.0f} MB"
    if first.shape.get("scaled"):
        title += f" (scaled: {first.shape['scaled']})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("backend", no_wrap=True)
    table.add_column("ran")
    table.add_column("median ms", justify="right", no_wrap=True)
    has_issue = any(case.issue_ns is not None for case in cases)
    if has_issue:
        table.add_column("issue us", justify="right", no_wrap=True)
    if first.suite != "attn":
        table.add_column("it/s", justify="right", no_wrap=True)
    if first.suite != "attn":
        table.add_column("peak MB", justify="right", no_wrap=True)
    if first.suite in NETWORKS:
        table.add_column("attention", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("smallest", justify="right", no_wrap=True)
    table.add_column("rounds", justify="right", no_wrap=True)
    table.add_column("picture" if first.suite == "image" else "rel. L2", justify="right")
    if first.suite == "attn":
        table.add_column("of ceiling", justify="right", no_wrap=True)
    table.add_column("note")
    for case in cases:
        label, ran, time, *rest = _row(case, verdicts.get(case.id), case.id in references)
        table.add_row(label, ran, time, *([_issue(case)] if has_issue else []), *rest)
    return table


def _issue(case: Case) -> str:
    """What a call takes to issue, which on a GPU may be longer than the call itself."""
    return "-" if case.issue_ns is None else f"{case.issue_ns / 1e3:,.1f}"


def _row(case: Case, found: Comparison | None, is_reference: bool) -> list[str]:
    """The cells of one case."""
    label = case.id.rsplit("/", 1)[-1]
    kernel = (case.resolved_kernel or "-").replace("aten::", "")
    network = case.suite in NETWORKS
    if case.status != "ok":
        ceiling = ["-"] if case.suite == "attn" else []
        blank = ["-"] * ({"attn": 4, "image": 6}.get(case.suite, 7))
        return [label, "-", case.status, *blank, _error(case), *ceiling, "see below"]
    time = stats.median(case.samples_ns)
    cells = [
        label,
        escape(kernel.replace("_scaled_dot_product_", "")),
        _interval(time.value / 1e6, time.low / 1e6, time.high / 1e6),
    ]
    if case.suite != "attn":
        speed = iterations_per_s(case)
        cells.append("-" if speed is None else f"{speed:.2f}")
        cells.append("-" if case.peak_bytes is None else f"{case.peak_bytes / 1e6:,.0f}")
    if network:
        cells.append("-" if case.attention_share is None else f"{case.attention_share:.0%}")
    if found is None:
        cells += ["-", "reference" if is_reference else "-", "-"]
    else:
        style = _STYLES[found.verdict]
        ratio = _interval(found.ratio, *found.ci)
        cells += [ratio, f"[{style}]{found.verdict}[/]", _smallest(found)]
    # How noisy it was stands in the interval already; the whole reason is in the result file.
    note = (case.reason or "").partition(":")[0]
    ceiling = [_ceiling(case)] if case.suite == "attn" else []
    return [*cells, str(len(case.samples_ns)), _error(case), *ceiling, escape(note)]


def _interval(value: float, low: float, high: float) -> str:
    """`1.234 (1.2 to 1.3)` with four significant digits; no interval where it is unbounded."""
    if low == -math.inf:
        return f"{value:.4g}"
    return f"{value:.4g} ({low:.4g} to {high:.4g})"


def _ceiling(case: Case) -> str:
    """Share of the time that the device's ceilings explain, and which of them binds."""
    return "-" if case.pct_floor is None else f"{case.pct_floor:.0f} % {case.bound}"


def _error(case: Case) -> str:
    """Relative error against float64, or the difference of the picture from the reference's."""
    if case.difference is not None:
        if case.difference.psnr_db is None:
            return "equal"
        return f"{case.difference.psnr_db:.1f} dB"
    return "-" if case.rel_l2 is None else f"{case.rel_l2:.1e}"
