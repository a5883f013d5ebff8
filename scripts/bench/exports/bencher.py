"""Bencher Metric Format, as `bencher run --adapter json` reads it.

Version 0 of https://bencher.dev/docs/reference/bencher-metric-format/: benchmark, measure, and
`value` with the bounds of its interval. `latency` (ns) and `throughput` (operations/s, here steps
or decodes) are measures that every Bencher project has; `peak-memory` (bytes) is made when it first
comes.
"""

import json

from scripts.bench.exports.figures import Figures, figures, is_bounded
from scripts.bench.schema import Run
from scripts.bench.stats import Estimate

Metric = dict[str, float]


def text(run: Run) -> str:
    """The run as a JSON object with a key for each case that is ok."""
    return json.dumps({each.case.id: _measures(each) for each in figures(run)}, indent=1) + "\n"


def _measures(each: Figures) -> dict[str, Metric]:
    measures = {"latency": _metric(each.time_ns)}
    if each.throughput is not None:
        measures["throughput"] = _metric(each.throughput[0])
    if each.case.peak_bytes is not None:
        measures["peak-memory"] = {"value": each.case.peak_bytes}
    return measures


def _metric(estimate: Estimate) -> Metric:
    if not is_bounded(estimate):
        return {"value": estimate.value}
    return {
        "value": estimate.value,
        "lower_value": estimate.low,
        "upper_value": estimate.high,
    }
