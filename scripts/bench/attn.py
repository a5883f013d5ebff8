"""Suite `attn`: runs the probe and turns its records into cases."""

from collections.abc import Iterable, Sequence
from typing import get_args

import docker

from scripts.bench import cases, choosing, probing, stats
from scripts.bench.probe.attn_plan import (
    AGAIN,
    BACKENDS,
    REFERENCE,
    Choice,
    Device,
    is_known_shape,
    jobs,
    known_shapes,
    most_seconds,
)
from scripts.bench.probing import Probe
from scripts.bench.schema import Case, Ceilings, Status
from scripts.bench.suite import Measured, RawRecord, Settings, Sink
from scripts.workspace.errors import BadInput
from scripts.workspace.model import offer


def checked(choice: Choice) -> Choice:
    """Return the choice. Raises BadInput for a shape, backend or type that is not known."""
    choosing.require("attn", choice, BACKENDS)
    for pattern in choice.shapes:
        if not is_known_shape(pattern):
            every = known_shapes()
            usual = tuple(name for name in every if name.count("-") == 3)
            raise BadInput(
                f"attn has no shape {pattern!r}.{offer(pattern, usual, every)}",
                hint="Of a U-Net's also with -x2 to -x16 (images) and, if cross, -t154 and -t231 "
                "(prompts); * and ? stand for any.",
            )
    if not any(jobs(choice, device) for device in get_args(Device)):
        raise BadInput(
            "none of the chosen shapes knows any of the chosen backends.",
            hint="V1 and InvokeAI leave the VAE as it is; sdp-4d is the VAE's alone.",
        )
    return choice


def run(client: docker.DockerClient, image: str, settings: Settings, into: Sink) -> None:
    """Measure in the image; put the probe's records into `into` as they come.

    Raises Failure where the probe ended by itself before it was done.
    """
    measure(probing.in_image(client, image, settings.packages), settings, into)


def measure(probe: Probe, settings: Settings, into: Sink) -> None:
    """Measure wherever `probe` runs. Raises Failure where it ended before it was done."""
    choice = settings.choice
    most = settings.budget_s if settings.exact else most_seconds(choice, settings.budget_s)
    probing.collect(probe, arguments(settings), most, into)


def arguments(settings: Settings) -> list[str]:
    """Return what the probe is told."""
    return choosing.told("attn", settings) + (["--cold"] if settings.choice.cold else [])


def shape_of(record: RawRecord) -> str | None:
    """Shape and type of a record that belongs to one, as SHAPE/TYPE."""
    key = _group(record)
    return None if key is None else "/".join(key)


def evaluate(records: Iterable[RawRecord], seed: int) -> Measured:
    """Cases and comparisons from the probe's records, also from those of a run cut short."""
    records = list(records)
    measured = Measured()
    measured.header = next((r for r in records if r["record"] == "header"), None)
    measured.notes = list(measured.header.get("notes", [])) if measured.header else []
    ceilings: dict[str, RawRecord] = {}
    for record in records:
        if record["record"] == "ceilings":  # a run that was continued measured them twice
            ceilings.setdefault(record["dtype"], record)
    measured.ceilings = [
        Ceilings.model_validate({k: v for k, v in r.items() if k != "record"})
        for r in ceilings.values()
    ]
    groups: dict[tuple[str, str], list[RawRecord]] = {}
    for record in records:
        if (key := _group(record)) is not None:
            groups.setdefault(key, []).append(record)
    pairs: list[stats.Pair] = []
    for name, group in groups.items():
        made = _cases(name[0], group)
        measured.cases += made
        samples = {case.id: case.samples_ns for case in made if case.status == "ok"}
        by_backend = {identity.rsplit("/", 1)[-1]: identity for identity in samples}
        if REFERENCE in by_backend:
            again = by_backend.get(AGAIN)
            cycles = {case.id: case.cycles for case in made}
            pairs += stats.pairs_of(samples, by_backend[REFERENCE], again, cycles)
    # The probe itself discards a case for one reason only: it disagrees with float64.
    measured.disagreements = [
        f"{r['id']}: {r['reason']}"
        for r in records
        if r["record"] == "case" and r["status"] == "discarded"
    ]
    measured.compare = stats.compare(pairs, seed)
    return measured


def _group(record: RawRecord) -> tuple[str, str] | None:
    """Shape and type of a record that belongs to one."""
    if record["record"] in ("case", "case_end", "round", "shape_end"):
        return record["shape"], record["dtype"]
    if record["record"] == "shape":
        return record["name"], record["dtype"]
    return None


def _cases(name: str, group: Sequence[RawRecord]) -> list[Case]:
    """The cases of one shape and type."""
    rounds = [r for r in group if r["record"] == "round"]
    end = next((r for r in group if r["record"] == "shape_end"), None)
    ended = {r["backend"]: r for r in group if r["record"] == "case_end"}
    shape = next((r for r in group if r["record"] == "shape"), {"name": name})
    described = {k: v for k, v in shape.items() if k not in ("record", "dtype")}
    if end is not None:
        described |= cases.shares(end)
    made = []
    for case in (r for r in group if r["record"] == "case"):
        backend = case["id"].rsplit("/", 1)[-1]
        mine = [r for r in rounds if backend in r["samples_ns"]]
        made.append(_case(case, backend, described, mine, end, ended.get(backend)))
    return made


def _case(
    case: RawRecord,
    backend: str,
    shape: RawRecord,
    rounds: Sequence[RawRecord],
    end: RawRecord | None,
    ended: RawRecord | None,
) -> Case:
    """One case of the schema from its record and the rounds that it was in.

    `end` is the record of the shape's end, `ended` that of its own before it.
    """
    kept = [r for r in rounds if not r["discarded"]]
    samples = [r["samples_ns"][backend] for r in kept]
    status, reason = _outcome(case, backend, rounds, kept, end, ended)
    waited = cases.issue_bound(backend, kept)
    # A median of times to issue says nothing of the GPU's ceilings.
    is_issue = waited is not None and 0 < waited >= len(kept) / 2
    floor = None if is_issue else case.get("floor_ns")
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
        order=tuple(r["order"].index(backend) for r in kept),
        host_ns=tuple(r["host_ns"][backend] for r in kept),
        cycles=cases.cycles(backend, kept),
        peak_bytes=case.get("peak_bytes"),
        nvml=tuple(r["nvml"] for r in kept if r["nvml"]),
        discarded=cases.discarded(backend, rounds),
        flops=case["flops"],
        bytes=case["bytes"],
        exps=case["exps"],
        pct_floor=100 * floor / stats.median(samples).value if floor and samples else None,
        bound="issue" if is_issue else case.get("bound"),
        rel_l2=cases.finite(case.get("rel_l2")),
        max_abs=cases.finite(case.get("max_abs")),
        issue_bound=waited,
        bitwise=case.get("bitwise"),
    )


def _outcome(
    case: RawRecord,
    backend: str,
    rounds: Sequence[RawRecord],
    kept: Sequence[RawRecord],
    end: RawRecord | None,
    ended: RawRecord | None,
) -> tuple[Status, str | None]:
    """Status and reason of a case, with what came after it was admitted."""
    status, reason = case["status"], case["reason"]
    if status != "ok":
        return status, reason
    if ended is not None:
        return ended["status"], f"after {len(kept)} rounds: {ended['reason']}"
    if not kept:
        return "discarded", cases.untimed(rounds)
    told = [cases.issue_remark(backend, kept)]
    if end is None:
        told.append(f"noisy: the run ended after {len(kept)} rounds")
    else:
        told.append(end["reasons"].get(backend))
    if not case.get("warm", True):
        told.append("warm-up unsettled")
    return "ok", "; ".join(filter(None, [*told, *cases.remarks(rounds, kept)])) or None
