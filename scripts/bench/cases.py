"""The probe's records of cases that were timed in rounds, as cases and comparisons.

The records may be those of a run that was cut short.
"""

from collections.abc import Iterable, Sequence

from scripts.bench import stats
from scripts.bench.schema import Case
from scripts.bench.suite import Measured, RawRecord

AGAIN = "@again"


def evaluate(suite: str, reference: str, records: Iterable[RawRecord], seed: int) -> Measured:
    """Hold every backend of a shape against `reference`, which ran twice in each round.

    `disagreements` are the cases whose record says so: those that the parity gate stopped.
    """
    records = list(records)
    measured = Measured()
    measured.header = next((r for r in records if r["record"] == "header"), None)
    cases = [r for r in records if r["record"] == "case"]
    shapes = {r["key"]: r for r in records if r["record"] == "shape"}
    ends = {r["shape"]: r for r in records if r["record"] == "shape_end"}
    pairs: list[stats.Pair] = []
    for key in dict.fromkeys(case["shape"] for case in cases):
        rounds = [r for r in records if r["record"] == "round" and r["shape"] == key]
        described = shapes.get(key, {"name": key}).items()
        shape = {name: value for name, value in described if name not in ("record", "key")}
        made = {
            _backend(case): _case(suite, case, shape, rounds, ends.get(key))
            for case in cases
            if case["shape"] == key
        }
        measured.cases += made.values()
        samples = {case.id: case.samples_ns for case in made.values() if case.samples_ns}
        again = made.get(reference + AGAIN)
        if reference in made:
            with_samples = again.id if again is not None and again.id in samples else None
            pairs += stats.pairs_of(samples, made[reference].id, with_samples)
    measured.disagreements = [
        f"{case['id']}: {case['reason']}" for case in cases if case.get("disagrees")
    ]
    measured.compare = stats.compare(pairs, seed)
    return measured


def shape_of(record: RawRecord) -> str | None:
    """The key of the shape that a record belongs to; None for one that is of the whole run."""
    if record["record"] == "shape":
        return str(record["key"])
    if record["record"] in ("case", "image", "round", "shape_end"):
        return str(record["shape"])
    return None


def _backend(case: RawRecord) -> str:
    return str(case["id"]).rsplit("/", 1)[-1]


def _case(
    suite: str,
    case: RawRecord,
    shape: RawRecord,
    rounds: Sequence[RawRecord],
    end: RawRecord | None,
) -> Case:
    """One case of the schema from its record and the rounds of its shape."""
    backend = _backend(case)
    mine = [r for r in rounds if backend in r["samples_ns"]]
    samples = [r["samples_ns"][backend] for r in mine]
    status, reason = case["status"], case["reason"]
    if status == "ok" and not samples:
        status, reason = "discarded", "the run ended before this case was timed"
    elif status == "ok":
        cut = f"noisy: the run ended after {len(samples)} rounds"
        cold = None if case.get("warm", True) else "warm-up unsettled"
        noisy = cut if end is None else end["reasons"].get(backend)
        reason = "; ".join(filter(None, [noisy, cold])) or None
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
        order=tuple(r["order"].index(backend) for r in mine),
        host_ns=tuple(r["host_ns"][backend] for r in mine),
        peak_bytes=case.get("peak_bytes"),
        attention_share=case.get("attention_share"),
        rel_l2=_finite(case.get("rel_l2")),
        bitwise=case.get("bitwise"),
    )


def _finite(value: float | None) -> float | None:
    """JSON knows no infinity: an error that is none becomes None, its reason says why."""
    return value if value is not None and value < float("inf") else None
