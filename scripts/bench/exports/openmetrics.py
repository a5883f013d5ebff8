"""OpenMetrics text, for a collector of text files.

https://prometheus.io/docs/specs/om/open_metrics_spec/. Only gauges, and no timestamps: so
node_exporter's textfile collector, which reads the older Prometheus format, takes the file as well.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from scripts.bench.exports.figures import Figures, device, figures, in_units, is_bounded
from scripts.bench.schema import UTC, Run
from scripts.bench.stats import Estimate

PREFIX = "sdkiln_bench_"


@dataclass
class _Family:
    """One metric: its name without the prefix, its unit (or ""), and its samples by labels."""

    name: str
    unit: str
    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        name = PREFIX + self.name
        yield f"# TYPE {name} gauge"
        if self.unit:
            yield f"# UNIT {name} {self.unit}"
        yield f"# HELP {name} {self.help}"
        for labels, value in self.samples:
            inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            yield f"{name}{{{inside}}} {value!r}"


def text(run: Run) -> str:
    """The run as one exposition."""
    families = [family for family in _families(run) if family.samples]
    return "\n".join([*(line for each in families for line in each.lines()), "# EOF", ""])


def _families(run: Run) -> list[_Family]:
    moment = datetime.strptime(run.utc, UTC).replace(tzinfo=timezone.utc).timestamp()
    when = _Family("run_timestamp_seconds", "seconds", "When the run ended, and what it was of.")
    when.samples.append((_run_labels(run), moment))
    time = _interval("time_{}seconds", "seconds", "median time of a case")
    speed = _interval("{}steps_per_second", "", "sampling steps per second, all pictures together")
    decodes = _interval("{}decodes_per_second", "", "pictures decoded per second")
    ratio = _interval("time_{}ratio", "ratio", "time over the reference's; below 1 is faster")
    rounds = _Family("samples", "", "How many samples there are.")
    peak = _Family("peak_memory_bytes", "bytes", "Peak of the device's memory.")
    for each in figures(run):
        labels = _case_labels(run, each)
        _add(time, labels, in_units(each.time_ns, 1e9))
        if each.steps_per_s is not None:
            _add(speed, labels, each.steps_per_s)
        if each.decodes_per_s is not None:
            _add(decodes, labels, each.decodes_per_s)
        rounds.samples.append((labels, float(len(each.case.samples_ns))))
        if each.case.peak_bytes is not None:
            peak.samples.append((labels, float(each.case.peak_bytes)))
    for found in run.compare:
        labels = {"case": found.b, "reference": found.a, "device": device(run)}
        _add(ratio, labels, Estimate(found.ratio, *found.ci))
    return [when, *time, *speed, *decodes, rounds, peak, *ratio]


def _interval(name: str, unit: str, what: str) -> tuple[_Family, _Family, _Family]:
    """The families of an estimate and of the ends of its interval; `{}` in the name is filled."""
    return (
        _Family(name.format(""), unit, f"Estimate: {what}."),
        _Family(name.format("low_"), unit, f"Lower end of the 95 % interval: {what}."),
        _Family(name.format("high_"), unit, f"Upper end of the 95 % interval: {what}."),
    )


def _add(to: tuple[_Family, _Family, _Family], labels: Mapping[str, str], found: Estimate) -> None:
    ends = (found.low, found.high) if is_bounded(found) else ()
    for family, value in zip(to, (found.value, *ends), strict=False):
        if math.isfinite(value):
            family.samples.append((labels, value))


def _case_labels(run: Run, each: Figures) -> dict[str, str]:
    case = each.case
    return {
        "case": case.id,
        "suite": case.suite,
        "shape": str(case.shape.get("name", "")),
        "backend": case.requested,
        "device": device(run),
    }


def _run_labels(run: Run) -> dict[str, str]:
    return {
        "run_id": run.run_id,
        "commit": run.git.sha or "",
        "dirty": str(run.git.dirty).lower(),
        "lock_sha256": run.lock_sha256 or "",
        "image_digest": run.image_digest or "",
        "device": device(run),
        "torch": run.sw.torch,
        "cuda": run.sw.cuda or "",
        "xformers": run.sw.xformers or "",
        "python": run.sw.python,
        "seed": str(run.seed),
    }


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
