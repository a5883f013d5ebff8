"""The probe's records of cases that were timed in rounds, as cases and comparisons.

The records may be those of a run that was cut short.
"""

from collections.abc import Iterable, Iterator, Sequence

from scripts.bench import stats
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Case, Discarded
from scripts.bench.suite import Measured, RawRecord


def evaluate(suite: str, reference: str, records: Iterable[RawRecord], seed: int) -> Measured:
    """Hold every backend of a shape against `reference`, which ran twice in each round.

    `disagreements` are the cases whose record says so: those that the parity gate stopped.
    """
    records = list(records)
    measured = Measured()
    measured.header = next((r for r in records if r["record"] == "header"), None)
    measured.notes = list(measured.header.get("notes", [])) if measured.header else []
    cases = [r for r in records if r["record"] == "case"]
    shapes = {r["key"]: r for r in records if r["record"] == "shape"}
    ends = {r["shape"]: r for r in records if r["record"] == "shape_end"}
    pairs: list[stats.Pair] = []
    for key in dict.fromkeys(case["shape"] for case in cases):
        rounds = [r for r in records if r["record"] == "round" and r["shape"] == key]
        described = shapes.get(key, {"name": key}).items()
        shape = {name: value for name, value in described if name not in ("record", "key")}
        shape |= shares(ends.get(key, {}))
        ended = {
            r["backend"]: r for r in records if r["record"] == "case_end" and r["shape"] == key
        }
        made = {
            _backend(case): _case(
                suite, case, shape, rounds, ends.get(key), ended.get(_backend(case))
            )
            for case in cases
            if case["shape"] == key
        }
        measured.cases += made.values()
        samples = {case.id: case.samples_ns for case in made.values() if case.status == "ok"}
        again = made.get(reference + AGAIN)
        if reference in made:
            with_samples = again.id if again is not None and again.id in samples else None
            clocked = {case.id: case.cycles for case in made.values()}
            pairs += stats.pairs_of(samples, made[reference].id, with_samples, clocked)
    measured.disagreements = [
        f"{case['id']}: {case['reason']}" for case in cases if case.get("disagrees")
    ]
    measured.compare = stats.compare(pairs, seed)
    return measured


def shape_of(record: RawRecord) -> str | None:
    """The key of the shape that a record belongs to; None for one that is of the whole run."""
    if record["record"] == "shape":
        return str(record["key"])
    if record["record"] in ("case", "case_end", "image", "round", "shape_end"):
        return str(record["shape"])
    return None


def shares(end: RawRecord) -> RawRecord:
    """What the record of a shape's end tells of where the rounds' time went."""
    known = ("outside_share", "held_share", "warmup_share")
    return {name: end[name] for name in known if name in end}


def _backend(case: RawRecord) -> str:
    return str(case["id"]).rsplit("/", 1)[-1]


def _case(
    suite: str,
    case: RawRecord,
    shape: RawRecord,
    rounds: Sequence[RawRecord],
    end: RawRecord | None,
    ended: RawRecord | None,
) -> Case:
    """One case of the schema from its record and the rounds of its shape.

    `end` is the record of the shape's end, `ended` that of its own before it.
    """
    backend = _backend(case)
    mine = [r for r in rounds if backend in r["samples_ns"]]
    kept = [r for r in mine if not r.get("discarded")]
    samples = [r["samples_ns"][backend] for r in kept]
    status, reason = case["status"], case["reason"]
    if status == "ok" and ended is not None:
        status, reason = ended["status"], f"after {len(samples)} rounds: {ended['reason']}"
    elif status == "ok" and not samples:
        status, reason = "discarded", untimed(mine)
    elif status == "ok":
        cut = f"noisy: the run ended after {len(samples)} rounds"
        cold = None if case.get("warm", True) else "warm-up unsettled"
        noisy = cut if end is None else end["reasons"].get(backend)
        told = [issue_remark(backend, kept), noisy, cold, *remarks(mine, kept)]
        reason = "; ".join(filter(None, told)) or None
    return Case(
        id=case["id"],
        suite=suite,
        shape=shape,
        dtype=case["dtype"],
        requested=case["requested"],
        resolved_kernel=case.get("resolved_kernel"),
        status=status,
        reason=reason,
        samples_ns=tuple(samples),
        order=tuple(r["order"].index(backend) for r in kept),
        host_ns=tuple(r["host_ns"][backend] for r in kept),
        cycles=cycles(backend, kept),
        nvml=tuple(r["nvml"] for r in kept if r.get("nvml")),
        discarded=discarded(backend, mine),
        peak_bytes=case.get("peak_bytes"),
        attention_share=case.get("attention_share"),
        rel_l2=finite(case.get("rel_l2")),
        max_abs=finite(case.get("max_abs")),
        issue_bound=issue_bound(backend, kept),
        bitwise=case.get("bitwise"),
    )


def untimed(rounds: Sequence[RawRecord]) -> str:
    """Why a case has no sample, although it was admitted."""
    if rounds:
        return f"all {len(rounds)} rounds discarded: {rounds[-1]['discarded']}"
    return "the run ended before this case was timed"


def remarks(rounds: Sequence[RawRecord], kept: Sequence[RawRecord]) -> Iterator[str]:
    """Yield what the GPU's driver told of a case's rounds, of which some were kept."""
    if len(kept) < len(rounds):
        yield f"{len(rounds) - len(kept)} rounds discarded"
    if capped := sum("sw_power_cap_ns" in r.get("nvml", ()) for r in kept):
        yield f"power cap in {capped} rounds"
    if shared := sum("other_processes" in r.get("nvml", ()) for r in kept):
        yield f"others used the GPU in {shared} rounds"


def issue_bound(backend: str, rounds: Sequence[RawRecord]) -> int | None:
    """In how many rounds the GPU waited for the host to issue a backend; None on a CPU."""
    told = [r.get("issue_bound", {}).get(backend) for r in rounds]
    return None if not told or None in told else sum(told)


def issue_remark(backend: str, rounds: Sequence[RawRecord]) -> str | None:
    """The same in words, which come first: such samples are no times of the GPU."""
    waited = issue_bound(backend, rounds)
    return f"issue-bound in {waited} rounds" if waited else None


def cycles(backend: str, rounds: Sequence[RawRecord]) -> tuple[int, ...]:
    """SM cycles of each sample: its time in ns by the SM clock in MHz right around it.

    () where one of them is not known.
    """
    clocks = [r.get("sm_mhz", {}).get(backend) for r in rounds]
    if None in clocks:
        return ()
    samples = [r["samples_ns"][backend] for r in rounds]
    return tuple(ns * mhz // 1000 for ns, mhz in zip(samples, clocks, strict=True))


def discarded(backend: str, rounds: Sequence[RawRecord]) -> tuple[Discarded, ...]:
    """The samples of a backend that do not count, by the rounds that it was in."""
    return tuple(
        Discarded(
            round=index,
            reason=r["discarded"],
            sample_ns=r["samples_ns"][backend],
            host_ns=r["host_ns"][backend],
            nvml=r["nvml"],
        )
        for index, r in enumerate(rounds)
        if r.get("discarded")
    )


def finite(value: float | None) -> float | None:
    """JSON knows no infinity: an error that is none becomes None, its reason says why."""
    return value if value is not None and value < float("inf") else None
