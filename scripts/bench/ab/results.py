"""The records of a session of two locks as rounds that belong together, and as two result files."""

import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from scripts.bench import attn, networks, schema
from scripts.bench.ab import locks
from scripts.bench.ab.ask import Ask, Side
from scripts.bench.ab.blocks import Block, Taken
from scripts.bench.compare import differing as unlike
from scripts.bench.suite import Measured, RawRecord
from scripts.build.record import git_state
from scripts.workspace.cli import say
from scripts.workspace.paths import BENCH, shown

BEFORE, AFTER = "before", "after"

Streams = dict[str, list[list[RawRecord]]]
"""For each side what its processes wrote, pair by pair."""


def blocks(streams: Streams) -> dict[str, list[Block]]:
    """Return each case's rounds, pair by pair; a pair in which it has none in common is left out.

    A round that either process discards counts for neither.
    """
    found: dict[str, list[Block]] = {}
    for before, after in zip(streams[BEFORE], streams[AFTER], strict=False):
        taken: dict[str, list[tuple[Taken, Taken]]] = {}
        second = _rounds(after)
        for group, old_rounds in _rounds(before).items():
            for old, new in zip(old_rounds, second.get(group, ()), strict=False):
                if old.get("discarded") or new.get("discarded"):
                    continue
                for backend in sorted(old["samples_ns"].keys() & new["samples_ns"].keys()):
                    both = (_taken(old, backend), _taken(new, backend))
                    taken.setdefault(f"{group}/{backend}", []).append(both)
        for case, pairs in taken.items():
            found.setdefault(case, []).append(Block(tuple(pairs)))
    return found


def _rounds(records: Iterable[RawRecord]) -> dict[str, list[RawRecord]]:
    """The records of rounds by what the ids of their cases begin with."""
    suite = ""
    found: dict[str, list[RawRecord]] = {}
    for record in records:
        if record["record"] == "header":
            suite = record["suite"]
        elif record["record"] == "round":
            # The networks' shapes have their type in their name.
            parts = (suite, record["shape"], record.get("dtype"))
            found.setdefault("/".join(filter(None, parts)), []).append(record)
    return found


def _taken(record: RawRecord, backend: str) -> Taken:
    ns, mhz = record["samples_ns"][backend], record.get("sm_mhz", {}).get(backend)
    return ns, None if mhz is None else ns * mhz // 1000


def merged(processes: Sequence[Sequence[RawRecord]]) -> list[RawRecord]:
    """The records of one side's processes as those of one run, which a suite evaluates.

    A case that fails in one process has failed. The reasons that a probe gives for stopping are
    left out: here it was told to.
    """
    once: dict[tuple[Any, ...], RawRecord] = {}
    rounds = []
    for record in (record for records in processes for record in records):
        kind = record["record"]
        what = (kind, record.get("id"), record.get("name"), record.get("shape"))
        key = (*what, record.get("key"), record.get("dtype"), record.get("backend"))
        if kind == "round":
            rounds.append(record)
        elif kind == "shape_end":
            once[key] = {**record, "reasons": {}}
        elif key not in once or (kind == "case" and once[key]["status"] == "ok"):
            once[key] = record
    return [*once.values(), *rounds]


def evaluated(processes: Sequence[Sequence[RawRecord]], ask: Ask) -> Measured:
    """What the records of one side come to."""
    records = merged(processes)
    if ask.suite == "attn":
        return attn.evaluate(records, ask.seed)
    return networks.evaluate(ask.suite, records, ask.seed)


def kept(sides: Mapping[str, Side], ask: Ask, streams: Streams) -> dict[str, schema.Run]:
    """Write both sides as result files below .workspace/bench/; return what there is of them."""
    runs = {}
    for name, other in ((BEFORE, AFTER), (AFTER, BEFORE)):
        measured = evaluated(streams[name], ask)
        if measured.header is None:
            continue
        notes = (
            f"lock {sides[name].name}",
            f"in turns with lock {sides[other].name}: {len(streams[name])} pairs of processes",
        )
        runs[name] = _run(measured, measured.header, sides[name], ask, notes)
        if measured.cases:
            path = BENCH / f"{runs[name].run_id}.json"
            schema.save(runs[name], path)
            say(f"bench: wrote {shown(path)}, {sides[name].name}")
    return runs


def _run(
    measured: Measured, header: RawRecord, side: Side, ask: Ask, notes: Sequence[str]
) -> schema.Run:
    now = datetime.now(timezone.utc)
    sha, dirty = git_state()
    return schema.Run(
        run_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        utc=now.strftime(schema.UTC),
        git=schema.Git(sha=sha or None, dirty=dirty or not sha),
        ran_in="host",
        lock_sha256=side.sha256,
        image_digest=None,
        argv=tuple(sys.argv[1:]),
        seed=ask.seed,
        host=schema.Host.model_validate(header["host"]),
        gpu=None if header["gpu"] is None else schema.Gpu.model_validate(header["gpu"]),
        sw=schema.Software.model_validate(header["sw"]),
        flags=schema.Flags.model_validate(header["flags"]),
        cases=tuple(measured.cases),
        compare=tuple(measured.compare),
        notes=(*measured.notes, *notes),
    )


def differing(before: Side, after: Side, old: schema.Run, new: schema.Run) -> Iterator[str]:
    """Yield what the locks have not alike, then what else the runs have not."""
    known = {*locks.versions(before), *locks.versions(after), "python", "lockfiles"}
    yield from locks.differing(before, after)
    yield from (each for each in unlike(old, new) if each.partition(" ")[0] not in known)
