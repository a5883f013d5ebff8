"""Which option a workload's evidence speaks for, and with what certainty.

Without numpy: a build reads this, too.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from math import fsum

from scripts.bench.advise.evidence import Evidence, Part
from scripts.bench.margins import LEAST_ROUNDS, MARGIN, MOST_NOISE
from scripts.bench.schema import Comparison, VerdictName
from scripts.workspace.model import Optimization

DEFAULT: Optimization = "sdp"
"""What is advised where nothing better is known: torch's own choice of a kernel."""
UNSETTLED = f"fewer than {LEAST_ROUNDS} rounds, against q or the clock, or times to issue"
_OPPOSITE: dict[VerdictName, VerdictName] = {"FASTER": "SLOWER", "SLOWER": "FASTER"}


@dataclass(frozen=True)
class Ratio:
    """One time over another, with its 95 % interval; below one is faster.

    Of a whole, `unsettled` is the share of its time in parts that settle nothing, from 0 to 1.
    """

    value: float
    low: float
    high: float
    verdict: VerdictName
    unsettled: float = 0

    def inverse(self) -> "Ratio":
        """The other time over this one."""
        verdict = _OPPOSITE.get(self.verdict, self.verdict)
        low, high = _over_one(self.high), _over_one(self.low)
        return Ratio(1 / self.value, low, high, verdict, self.unsettled)


@dataclass(frozen=True)
class Weighed:
    """What one part of a whole says of an option: `found`, from so many `rounds`.

    `time_ns` is what the part takes with the other option, `again` sdp against itself. With
    `is_issue` one of both times is the host's, which issued the call more slowly than the GPU ran.
    """

    time_ns: float
    rounds: int
    found: Comparison
    again: Comparison | None
    is_issue: bool = False

    @property
    def settles(self) -> bool:
        """Whether nothing but its interval leaves the part's verdict open.

        Too few rounds do, too, and q or the GPU's clock that spoke against what the interval says.
        A time to issue settles nothing: within a network others are issued, and run, meanwhile.
        """
        if self.rounds < LEAST_ROUNDS or self.is_issue:
            return False
        margin = _margin(() if self.again is None else self.again.ci)
        by_interval = _verdict(*self.found.ci, margin)
        return self.found.verdict != "INCONCLUSIVE" or by_interval == "INCONCLUSIVE"


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
        if (most := max(ratios[name].unsettled for name in open_ones)) > MARGIN:
            why += f"; {most:.0%} of the step is in calls that settle nothing ({UNSETTLED})"
        return Advice(evidence, option, False, why, next_best)
    return Advice(evidence, option, True, "nothing is FASTER than sdp", next_best)


def against_sdp(evidence: Evidence) -> dict[Optimization, Ratio]:
    """Return each option's time over sdp's, of those that were compared with it in every part."""
    named = dict.fromkeys(name for part in evidence.parts for name in part.found)
    return {
        name: combined([weighed(part, name, DEFAULT, part.found[name]) for part in evidence.parts])
        for name in named
        if all(name in part.found for part in evidence.parts)
    }


def weighed(part: Part, option: Optimization, other: Optimization, found: Comparison) -> Weighed:
    """What a part says of an option against another, by their comparison."""
    rounds = min(len(part.samples(option)), len(part.samples(other)))
    is_issue = any(part.cases[each].is_issue for each in (option, other))
    return Weighed(part.weight(other), rounds, found, part.again, is_issue)


def combined(parts: Sequence[Weighed]) -> Ratio:
    """The ratio of a whole, from its parts' ratios and what time each takes under a.

    Their weighted mean is the ratio of the sums. The means of the intervals' ends are taken for the
    whole's interval, as if all parts erred the same way: that is wide rather than narrow. One part
    keeps its verdict; for several the margin is that of a single case. The whole is INCONCLUSIVE if
    the parts that settle nothing take more of its time than the margin.
    """
    value = _mean((part.time_ns, part.found.ratio) for part in parts)
    low, high = _ends([(part.time_ns, part.found) for part in parts])
    if len(parts) == 1:
        return Ratio(value, low, high, parts[0].found.verdict)
    again = [(part.time_ns, part.again) for part in parts if part.again]
    margin = _margin(_ends(again) if again else ())
    unsettled = _unsettled(parts)
    word = _verdict(low, high, margin) if unsettled <= MARGIN else "INCONCLUSIVE"
    return Ratio(value, low, high, word, unsettled)


def _unsettled(parts: Sequence[Weighed]) -> float:
    """The share of the time in parts that settle nothing, with the option where it is larger."""
    mine = [part.time_ns * part.found.ratio for part in parts]
    theirs = [part.time_ns for part in parts]
    is_open = [not part.settles for part in parts]
    return max(fsum(compress(times, is_open)) / fsum(times) for times in (mine, theirs))


def _margin(again: Sequence[float]) -> float:
    """The margin as a ratio: 1 %, or how far the interval of sdp against itself reaches."""
    return max([1 + MARGIN, *again, *map(_over_one, again)])


def _verdict(low: float, high: float, margin: float) -> VerdictName:
    if high < 1 / margin:
        return "FASTER"
    if low > margin:
        return "SLOWER"
    inside = 1 / margin <= low and high <= margin
    return "SAME" if inside and margin <= 1 + MOST_NOISE else "INCONCLUSIVE"


def _ends(weighted: Sequence[tuple[float, Comparison]]) -> tuple[float, float]:
    """The weighted means of both ends of the intervals."""
    low, high = (_mean((weight, found.ci[end]) for weight, found in weighted) for end in (0, 1))
    return low, high


def _over_one(value: float) -> float:
    return 1 / value if value else math.inf


def _mean(weighted: Iterable[tuple[float, float]]) -> float:
    """The weighted mean of (weight, value)."""
    pairs = list(weighted)
    return sum(weight * value for weight, value in pairs) / sum(weight for weight, _ in pairs)
