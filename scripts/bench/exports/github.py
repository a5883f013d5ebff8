"""Entries for github-action-benchmark, of its tools customSmallerIsBetter and customBiggerIsBetter.

An array of name, unit and value, with range and extra for a person:
https://github.com/benchmark-action/github-action-benchmark#examples. One file holds one direction,
so there are two: times and memory, which are better small, and what is done per second.
"""

import json
from collections.abc import Iterable, Iterator

from scripts.bench.exports.figures import Figures, figures, in_units, is_bounded
from scripts.bench.schema import Run
from scripts.bench.stats import CONFIDENCE, Estimate

Entry = dict[str, str | float]


def smaller(run: Run) -> str:
    """Median time (ms) and peak memory (MB) of every case that is ok."""
    return _array(entry for each in figures(run) for entry in _costs(each))


def bigger(run: Run) -> str:
    """Steps or decodes per second of every case that has them; the action takes no empty array."""
    return _array(
        _entry(each, unit, found)
        for each in figures(run)
        if each.throughput is not None
        for found, unit in [each.throughput]
    )


def _array(entries: Iterable[Entry]) -> str:
    return json.dumps(list(entries), indent=1, ensure_ascii=False) + "\n"


def _costs(each: Figures) -> Iterator[Entry]:
    yield _entry(each, "ms", in_units(each.time_ns, 1e6))
    if (peak := each.case.peak_bytes) is not None:
        yield {"name": f"{each.case.id} (peak memory)", "unit": "MB", "value": peak / 1e6}


def _entry(each: Figures, unit: str, found: Estimate) -> Entry:
    case = each.case
    entry: Entry = {"name": case.id, "unit": unit, "value": found.value}
    extra = [f"samples: {len(case.samples_ns)}", f"ran: {case.resolved_kernel or 'unknown'}"]
    if is_bounded(found):
        # The action shows one number for both sides: the wider one.
        entry["range"] = f"± {max(found.high - found.value, found.value - found.low):.4g}"
        extra.insert(0, f"{CONFIDENCE:.0%} interval: {found.low:.6g} to {found.high:.6g} {unit}")
    entry["extra"] = "\n".join(extra)
    return entry
