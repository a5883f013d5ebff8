"""The page as a record: its sections in reading order, and the figures at its head."""

from collections import Counter
from collections.abc import Iterator

from scripts.bench.schema import VerdictName
from scripts.report import builds, comparison, history, rates, roofline, tokens
from scripts.report.content import Fact, Page
from scripts.report.measured import runs_table
from scripts.report.sources import Sources

_WORDS: tuple[VerdictName, ...] = ("FASTER", "SAME", "SLOWER", "INCONCLUSIVE")


def page(sources: Sources) -> Page:
    """Return the page; the same sources give the same page."""
    return Page(
        facts=tuple(_facts(sources)),
        sections=(
            comparison.section(sources),
            tokens.section(sources),
            roofline.section(sources),
            history.section(sources),
            builds.layers(sources),
            builds.rebuilds(sources),
            builds.replays(sources),
            rates.section(sources),
        ),
        runs=runs_table(taken for runs in sources.runs.values() for taken in runs[::-1]),
        problems=sources.problems,
    )


def _facts(sources: Sources) -> Iterator[Fact]:
    """Yield for each device what its verdicts come to, and for each profile its image's size."""
    for device, runs in sources.runs.items():
        words = Counter(found.verdict for found in comparison.verdicts(runs))
        counted = ", ".join(f"{words[word]} {word}" for word in _WORDS if words[word])
        noun = "run" if len(runs) == 1 else "runs"
        yield Fact(device, f"{len(runs)} {noun}; against the reference: {counted or 'no verdict'}")
    for name, record in sources.builds.items():
        pulled = sum(layer.size or 0 for layer in record.layers)
        yield Fact(f"{pulled / 1e6:,.0f} MB", f"to pull of {name}, {len(record.layers)} layers")
