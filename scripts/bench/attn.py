"""Suite `attn`: runs the probe in a container and turns its records into cases."""

from collections.abc import Iterable, Sequence

import docker

from scripts.bench import container, stats
from scripts.bench.schema import Case
from scripts.bench.suite import Measured, RawRecord, Settings
from scripts.workspace.errors import Failure

REFERENCE = "sdp"
AGAIN = "sdp@again"
# The container's start and the import of torch, beside the measurements themselves.
GRACE_S = 300.0


def run(client: docker.DockerClient, image: str, settings: Settings, into: list[RawRecord]) -> None:
    """Put the probe's records into `into` as they come.

    Raises Failure where the probe ended by itself before it was done.
    """
    command = [container.PYTHON, "-m", "probe", "attn", "--seed", str(settings.seed)]
    command += ["--rounds", str(settings.rounds), "--budget", str(settings.budget_s)]
    command += ["--quick"] if settings.quick else []
    code: dict[str, int] = {}
    with container.created(client, image, command=command) as made:
        for record in container.run_probe(made, settings.budget_s + GRACE_S, code):
            into.append(record)
    if code["exit"] != 0 or not into or into[-1]["record"] != "final":
        memory = " (137 is a kill, most often for lack of memory)" if code["exit"] == 137 else ""
        raise Failure(
            f"suite attn ended early: its probe exited with {code['exit']}{memory}.",
            hint="What it had measured is kept; its messages are above.",
        )


def evaluate(records: Iterable[RawRecord], seed: int) -> Measured:
    """Cases and comparisons from the probe's records, also from those of a run cut short."""
    records = list(records)
    measured = Measured()
    measured.header = next((r for r in records if r["record"] == "header"), None)
    cases = [r for r in records if r["record"] == "case"]
    shapes = {r["name"]: r for r in records if r["record"] == "shape"}
    ends = {r["shape"]: r for r in records if r["record"] == "shape_end"}
    pairs: list[stats.Pair] = []
    for name in dict.fromkeys(case["shape"] for case in cases):
        rounds = [r for r in records if r["record"] == "round" and r["shape"] == name]
        shape = {k: v for k, v in shapes.get(name, {"name": name}).items() if k != "record"}
        made = [
            _case(case, shape, rounds, ends.get(name)) for case in cases if case["shape"] == name
        ]
        measured.cases += made
        samples = {case.id: case.samples_ns for case in made if case.samples_ns}
        by_backend = {identity.rsplit("/", 1)[-1]: identity for identity in samples}
        if REFERENCE in by_backend:
            again = by_backend.get(AGAIN)
            pairs += stats.pairs_of(samples, by_backend[REFERENCE], again)
    # The probe itself discards a case for one reason only: it disagrees with float64.
    measured.disagreements = [
        f"{case['id']}: {case['reason']}" for case in cases if case["status"] == "discarded"
    ]
    measured.compare = stats.compare(pairs, seed)
    return measured


def _case(
    case: RawRecord,
    shape: RawRecord,
    rounds: Sequence[RawRecord],
    end: RawRecord | None,
) -> Case:
    """One case of the schema from its record and the rounds of its shape."""
    backend = case["id"].rsplit("/", 1)[-1]
    mine = [r for r in rounds if backend in r["samples_ns"]]
    samples = [r["samples_ns"][backend] for r in mine]
    status, reason = case["status"], case["reason"]
    if status == "ok" and not samples:
        status, reason = "discarded", "the run ended before this case was timed"
    elif status == "ok" and end is None:
        reason = f"noisy: the run ended after {len(samples)} rounds"
    elif status == "ok" and end is not None:
        reason = end["reasons"].get(backend)
    floor = case.get("floor_ns")
    if status == "ok" and not case.get("warm", True):
        reason = "; ".join(filter(None, [reason, "warm-up unsettled"]))
    return Case(
        id=case["id"],
        suite="attn",
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
        flops=case["flops"],
        bytes=case["bytes"],
        exps=case["exps"],
        pct_floor=100 * floor / stats.median(samples).value if floor and samples else None,
        bound=case.get("bound"),
        rel_l2=_finite(case.get("rel_l2")),
        bitwise=case.get("bitwise"),
    )


def _finite(value: float | None) -> float | None:
    """JSON knows no infinity: an error that is none becomes None, its reason says why."""
    return value if value is not None and value < float("inf") else None
