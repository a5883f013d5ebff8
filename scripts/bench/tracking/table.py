"""The history of a device as a table for a person."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.bench.stats import MARGIN_APART
from scripts.bench.tracking.changes import Change, Series
from scripts.bench.tracking.detection import LEAST_POINTS

BARS = "▁▂▃▄▅▆▇█"
SHOWN = 40
"""Runs that a trend shows, the newest: what fits beside a case's name."""


def show(series: Sequence[Series], changes: Sequence[Change], to: Console) -> None:
    """Print the runs of each case that has several, then each change point with what differs."""
    several = [each for each in series if len(each.runs) > 1]
    if several:
        to.print(_runs(several, changes))
    for line in lines(series, changes):
        to.print(escape(line))


def _runs(series: Sequence[Series], changes: Sequence[Change]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("case", overflow="fold")
    for title in ("runs", "first ms", "last ms", "least ms", "most ms"):
        made.add_column(title, justify="right", no_wrap=True)
    made.add_column("trend", no_wrap=True)
    made.add_column("changes", justify="right")
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.case] = counts.get(change.case, 0) + 1
    for each in series:
        times = each.medians_ns
        made.add_row(
            escape(each.case),
            str(len(times)),
            *(f"{time / 1e6:.4g}" for time in (times[0], times[-1], min(times), max(times))),
            trend(times[-SHOWN:]),
            str(counts.get(each.case, "-")),
        )
    return made


def lines(series: Sequence[Series], changes: Sequence[Change]) -> Iterator[str]:
    """How many cases have no history, and each change point with what differs there.

    Or from how many runs on there may be some.
    """
    once = Counter(each.suite for each in series if len(each.runs) == 1)
    if once:
        suites = ", ".join(f"{count} of {suite}" for suite, count in sorted(once.items()))
        yield f"One run is no history: {suites} were timed in one run alone, and are left out."
    for change in changes:
        why = ", ".join(change.because) or "nothing that the runs tell of differs: the machine"
        yield (
            f"{change.case} takes {change.ratio:.3f} times as long since {change.after} "
            f"(p {change.p:.2g}): {why}"
        )
    if all(len(each.medians_ns) < LEAST_POINTS for each in series):
        yield f"Change points are looked for from {LEAST_POINTS} runs of a case on."


def trend(times: Sequence[float]) -> str:
    """Times as bars, the lowest for the least of them, the highest for what takes longest.

    The highest stands for 5 % more at least, so that the noise of two runs does not look like news.
    """
    least = min(times)
    width = max(max(times) - least, least * MARGIN_APART)
    return "".join(BARS[round((time - least) / width * (len(BARS) - 1))] for time in times)
