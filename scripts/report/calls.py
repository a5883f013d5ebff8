"""Calls of attention as points: tokens, speed, and operations for each byte and exponential."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scripts.bench.exports.figures import whole
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import MOST, Case, Run
from scripts.report.content import Cell, Column, Missing
from scripts.report.figures import plain
from scripts.report.measured import backend, median_ms

NOTHING = Missing(
    "no result of the suite attn is there yet", "./nox -s build bench -- --suite attn"
)
SELF, CROSS = "self-attention", "cross-attention"
TERA = 1e12
COLUMNS = (
    Column("run", "run"),
    Column("shape", "shape"),
    Column("dtype", "dtype"),
    Column("backend", "backend"),
    Column("tokens", "tokens", ",d"),
    Column("tflops", "TFLOP/s", ".4g"),
    Column("intensity", "FLOP/byte", ".4g"),
    Column("flops", "FLOP", ".4g"),
    Column("bytes", "bytes", ".4g"),
    Column("exps", "exponentials", ".4g"),
    Column("pct_floor", "of ceiling %", ".0f"),
    Column("bound", "bound by"),
)


@dataclass(frozen=True)
class Call:
    """A call that was timed: `rate` is in operations/s, `intensity` in operations a byte.

    `per_exp` are the operations for each exponential, 4 x head_dim. The last two are None where a
    result does not tell bytes or exponentials.
    """

    case: Case
    run: Run
    kind: str
    tokens: int
    rate: float
    intensity: float | None
    per_exp: float | None

    @property
    def backend(self) -> str:
        """The backend that was asked for."""
        return backend(self.case)

    def row(self) -> list[Cell]:
        """Return the call's row of a table with COLUMNS."""
        case = self.case
        return [
            self.run.run_id,
            str(case.shape.get("name", "")),
            case.dtype,
            self.backend,
            self.tokens,
            self.rate / TERA,
            self.intensity,
            case.flops,
            case.bytes,
            case.exps,
            case.pct_floor,
            case.bound,
        ]

    def hover(self, unit: float, prefix: str) -> str:
        """Return the call's tooltip, its speed in `unit` operations/s."""
        case = self.case
        share = "" if case.pct_floor is None else f", {case.pct_floor:.0f} % of its ceiling"
        bound = f" ({case.bound})" if case.bound else ""
        lines = [
            str(case.shape.get("name", "")),
            f"{self.backend}: {self.rate / unit:.4g} {prefix}FLOP/s{share}{bound}",
        ]
        return "<br>".join(plain(line) for line in lines)


def calls(run: Run) -> Iterator[Call]:
    """Yield the calls of a run, without the repeats of A/A pairs.

    Of self-attention that was scaled down, queries are left out; its keys are all there.
    """
    for case in run.cases:
        n, m = whole(case.shape.get("n")), whole(case.shape.get("m"))
        flops = known(case.flops)
        if case.suite != "attn" or case.status != "ok" or case.id.endswith(AGAIN):
            continue
        if n is None or m is None or flops is None:
            continue
        crosses = "-cross-" in str(case.shape.get("name"))
        least, exps = known(case.bytes), known(case.exps)
        yield Call(
            case=case,
            run=run,
            kind=CROSS if crosses else SELF,
            tokens=n if crosses else max(n, m),
            rate=flops / (median_ms(case) / 1e3),
            intensity=None if least is None else flops / least,
            per_exp=None if exps is None else flops / exps,
        )


def known(count: int | None) -> int | None:
    """Return a count of operations or bytes if it is one that a call can have, else None."""
    return count if count is not None and 0 < count < MOST else None


def by_backend(found: Iterable[Call]) -> dict[str, list[Call]]:
    """Return the calls of each backend."""
    series: dict[str, list[Call]] = {}
    for call in found:
        series.setdefault(call.backend, []).append(call)
    return series


def unit_of(found: Sequence[Call], ceiling: float = 0) -> tuple[float, str]:
    """Return the unit in which the fastest is no fraction, in operations/s, and its prefix."""
    fastest = max([ceiling, *(call.rate for call in found)])
    return (TERA, "T") if fastest >= TERA else (1e9, "G")
