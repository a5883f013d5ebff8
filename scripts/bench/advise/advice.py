"""Which option a workload's evidence speaks for, and with what certainty.

Without numpy: a build reads this, too.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.bench.advise.evidence import Evidence
from scripts.bench.schema import Comparison, VerdictName
from scripts.workspace.model import Optimization

DEFAULT: Optimization = "sdp"
"""What is advised where nothing better is known: torch's own choice of a kernel."""
MARGIN = 0.01
MOST_NOISE = 0.05
"""Both as in scripts.bench.stats, which a build cannot import."""
_OPPOSITE: dict[VerdictName, VerdictName] = {"FASTER": "SLOWER", "SLOWER": "FASTER"}


@dataclass(frozen=True)
class Ratio:
    """One time over another, with its 95 % interval; below one is faster."""

    value: float
    low: float
    high: float
    verdict: VerdictName

    def inverse(self) -> "Ratio":
        """The other time over this one."""
        verdict = _OPPOSITE.get(self.verdict, self.verdict)
        return Ratio(1 / self.value, _over_one(self.high), _over_one(self.low), verdict)


@dataclass(frozen=True)
class Advice:
    """The option for a workload, and why.

    `decided` says that the evidence carries it; else it is the default, for lack of better. What
    comes closest to it, of all that has a result, is `next_best`.
    """

    evidence: Evidence
    option: Optimization
    decided: bool
    why: str
    next_best: Optimization | None = None


def advised(evidence: Evidence) -> Advice:
    """Return the fastest of the options that are FASTER than sdp; sdp where none is."""
    if evidence.missing:
        calls = len(evidence.parts) + len(evidence.missing)
        named = ", ".join(evidence.missing)
        why = f"{len(evidence.missing)} of a step's {calls} calls were not measured: {named}"
        return Advice(evidence, DEFAULT, False, why)
    ratios = against_sdp(evidence)
    if not ratios:
        reasons = "; ".join(evidence.reasons(DEFAULT)) or "nothing was compared with it"
        return Advice(evidence, DEFAULT, False, f"no verdict against sdp: {reasons}")
    ranked = sorted(ratios, key=lambda name: ratios[name].value)
    faster, open_ones = (
        [name for name in ranked if ratios[name].verdict == word]
        for word in ("FASTER", "INCONCLUSIVE")
    )
    option = faster[0] if faster else DEFAULT
    others = [(each.value, name) for name, each in ratios.items()] + [(1.0, DEFAULT)]
    next_best = min((value, name) for value, name in others if name != option)[1]
    if option != DEFAULT:
        return Advice(evidence, option, True, "FASTER than sdp", next_best)
    if open_ones:
        why = f"INCONCLUSIVE against sdp: {', '.join(open_ones)}"
        return Advice(evidence, option, False, why, next_best)
    return Advice(evidence, option, True, "nothing is FASTER than sdp", next_best)


def against_sdp(evidence: Evidence) -> dict[Optimization, Ratio]:
    """Return each option's time over sdp's, of those that were compared with it in every part."""
    named = dict.fromkeys(name for part in evidence.parts for name in part.found)
    again = [(part.weight(DEFAULT), part.again) for part in evidence.parts if part.again]
    return {
        name: combined([(part.weight(DEFAULT), part.found[name]) for part in evidence.parts], again)
        for name in named
        if all(name in part.found for part in evidence.parts)
    }


def combined(
    parts: Sequence[tuple[float, Comparison]], again: Sequence[tuple[float, Comparison]] = ()
) -> Ratio:
    """The ratio of a whole, from its parts' ratios and what time each takes under a.

    Their weighted mean is the ratio of the sums. The means of the intervals' ends are taken for the
    whole's interval, as if all parts erred the same way: that is wide rather than narrow. One part
    keeps its verdict; for several the margin is that of a single case, `again` being the noise, sdp
    against itself.
    """
    value = _mean((weight, found.ratio) for weight, found in parts)
    low, high = _ends(parts)
    if len(parts) == 1:
        return Ratio(value, low, high, parts[0][1].verdict)
    margin = 1 + MARGIN
    if again:
        lowest, highest = _ends(again)
        margin = max(margin, _over_one(lowest), highest)
    return Ratio(value, low, high, _verdict(low, high, margin))


def _verdict(low: float, high: float, margin: float) -> VerdictName:
    if high < 1 / margin:
        return "FASTER"
    if low > margin:
        return "SLOWER"
    inside = 1 / margin <= low and high <= margin
    return "SAME" if inside and margin <= 1 + MOST_NOISE else "INCONCLUSIVE"


def _ends(parts: Sequence[tuple[float, Comparison]]) -> tuple[float, float]:
    low, high = (_mean((weight, found.ci[end]) for weight, found in parts) for end in (0, 1))
    return low, high


def _over_one(value: float) -> float:
    return 1 / value if value else math.inf


def _mean(weighted: Iterable[tuple[float, float]]) -> float:
    """The weighted mean of (weight, value)."""
    pairs = list(weighted)
    return sum(weight * value for weight, value in pairs) / sum(weight for weight, _ in pairs)
