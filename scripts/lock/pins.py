"""Pins of what is no Python package: images, git sources, models and Debian packages.

A pin that is there stays while what it pins is asked for in the same words, unless a LookUp names
it; one that is new or asked for in other words is looked up.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tomli
import tomli_w

from scripts.lock import debian, images, lookup, models, sources
from scripts.lock.lockfile import Lockfile, read
from scripts.lock.lookup import ONLY_MISSING, Found, LookUp, NotFound, Table, Unreachable
from scripts.workspace.errors import BadInput, CheckFailed, Failure
from scripts.workspace.files import sha256
from scripts.workspace.model import Model, Workspace
from scripts.workspace.paths import LOCKFILES, ROOT

DEBIAN = "debian"


def entries(name: str) -> dict[str, Table]:
    """Return the pins of a lockfile, e.g. `sources`, by name; none when there is no such file."""
    path = LOCKFILES / f"{name}.toml"
    return tomli.loads(read(path).body) if path.exists() else {}


def inputs(workspace: Workspace) -> dict[Path, dict[str, str]]:
    """Return, for each lockfile of pins, the inputs that it follows from."""
    asked: dict[str, dict[str, str]] = {
        "images": {f"images.{name}": each.reference for name, each in workspace.images.items()},
        "sources": {f"sources.{name}": _asked(each) for name, each in workspace.sources.items()},
        "models": {f"models.{name}": _asked(each) for name, each in workspace.models.items()},
        DEBIAN: {DEBIAN: _asked(workspace.debian)},
    }
    for model in workspace.models.values():
        if model.generator is not None:
            asked["models"][model.generator] = f"sha256:{sha256(ROOT / model.generator)}"
    return {LOCKFILES / f"{name}.toml": value for name, value in asked.items()}


def _asked(record: Any) -> str:
    return json.dumps(record.model_dump(exclude_none=True), separators=(",", ":"), sort_keys=True)


def names(workspace: Workspace) -> frozenset[str]:
    """Return what a LookUp can name."""
    return frozenset({DEBIAN, *workspace.images, *workspace.sources, *workspace.models})


@dataclass(frozen=True)
class Computed:
    """Lockfiles of pins, and sentences that a person must read.

    A sentence says which pin stays because it could not be looked up, or what was odd.
    """

    locks: tuple[Lockfile, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Pin:
    """One thing that is looked up as a whole. `old` is its pin if it is still asked for so."""

    kind: str
    name: str
    key: str
    old: Table | None
    question: Callable[[], Found] | None


def compute_all(
    tables: Mapping[Path, Mapping[str, str]], workspace: Workspace, policy: LookUp = ONLY_MISSING
) -> Computed:
    """Return the lockfiles of pins of `tables`, a part of `inputs`, looking up what `policy` says.

    All look-ups run at once; what gives no answer keeps its pin, and a note says so. Raises
    BadInput for what is not there, Failure for what gave no answer and has no pin to keep, or
    must be fresh by the policy, and CheckFailed for a model that was replaced under its name.
    """
    before = {path: _read(path) for path in tables}
    wanted = [
        pin
        for path, asked in tables.items()
        for pin in _pins(path.stem, asked, *before[path], workspace, policy)
    ]
    answers = lookup.ask_all({pin.key: pin.question for pin in wanted if pin.question is not None})
    _require(wanted, answers, policy)
    found: dict[str, dict[str, Table]] = {path.stem: {} for path in tables}
    notes = []
    for pin in wanted:
        answer = answers.get(pin.key)
        if isinstance(answer, Found):
            _require_same(pin, answer.pin, policy)
            notes += [f"{pin.key}: {note}." for note in answer.notes]
            made = answer.pin
        else:
            assert pin.old is not None
            made = pin.old
            if answer is not None:
                notes.append(f"{pin.key} keeps {_summary(pin)}: {answer}.")
        found[pin.kind] |= made if pin.kind == DEBIAN else {pin.name: made}
    locks = [Lockfile(path, asked, render(found[path.stem])) for path, asked in tables.items()]
    return Computed(tuple(locks), tuple(notes))


def _read(path: Path) -> tuple[dict[str, Table], Mapping[str, str]]:
    """Return the pins of a lockfile and their inputs; none of a missing or damaged one."""
    try:
        return entries(path.stem), read(path).inputs
    except BadInput:
        return {}, {}


def _pins(
    kind: str,
    asked: Mapping[str, str],
    old: dict[str, Table],
    recorded: Mapping[str, str],
    workspace: Workspace,
    policy: LookUp,
) -> Iterator[_Pin]:
    """Yield each pin that a lockfile is to have, with the question if it is to be looked up."""
    records: Mapping[str, Any] = getattr(workspace, kind)
    if kind == DEBIAN:
        # All of its packages are one question.
        records, old = {kind: records}, {kind: old} if old else {}
    for name, record in records.items():
        key = kind if kind == DEBIAN else f"{kind}.{name}"
        pin = old.get(name)
        kept = pin if _same(kind, recorded.get(key), asked[key]) else None
        question = partial(_look_up, kind, record, kept)
        # A look-up by name is of that name alone.
        enough = kept is not None and (bool(policy.names) or _complete(record, kept))
        settled = enough and not policy.wants(name)
        yield _Pin(kind, name, key, kept, None if settled else question)


def _same(kind: str, recorded: str | None, asked: str) -> bool:
    """Whether a pin is asked for as it was; where else a source may be had does not matter."""
    if kind == "sources" and recorded is not None:
        return bool(json.loads(recorded)["ref"] == json.loads(asked)["ref"])
    return recorded == asked


def _complete(record: Any, pin: Table) -> bool:
    """Whether a pin has all that a look-up would give it.

    What a generator writes is computed each time; a model that was pinned by its hash alone gets
    its revision and its size as soon as Hugging Face answers.
    """
    return not isinstance(record, Model) or "revision" in pin


def _look_up(kind: str, record: Any, pin: Table | None) -> Found:
    if kind == "images":
        return images.look_up(record)
    if kind == "sources":
        return sources.look_up(record, (pin or {}).get("commit"))
    if kind == "models":
        generated = record.generator is not None
        return Found(models.generated(record)) if generated else models.look_up(record)
    return debian.look_up(record)


def _require(
    wanted: Sequence[_Pin], answers: Mapping[str, Found | NotFound | Unreachable], policy: LookUp
) -> None:
    """Raise BadInput or Failure when an answer says that there can be no lockfile; names all."""
    missing, silent = [], []
    for pin in wanted:
        answer = answers.get(pin.key)
        if isinstance(answer, NotFound):
            missing.append(f"workspace.toml: {pin.key}: {answer}.")
        elif isinstance(answer, Unreachable) and (policy.required or pin.old is None):
            silent.append(f"{pin.key}: {answer}.")
    if missing:
        raise BadInput("\n".join(missing + silent), hint="Nothing was written. Correct the entry.")
    if silent:
        count = f"{len(silent)} pins" if len(silent) > 1 else "a pin"
        raise Failure(
            f"{count} could not be looked up:\n  " + "\n  ".join(silent),
            hint="Nothing was written. Check the network, then lock again."
            + (" Without --require-fresh, what is pinned stays." if policy.required else ""),
        )


def _require_same(pin: _Pin, new: Table, policy: LookUp) -> None:
    """Raise CheckFailed when a model has other bytes now and nobody asked for others."""
    if pin.kind != "models" or pin.old is None or "revision" not in new:
        return
    if policy.replaces(pin.name):
        return
    was, now = pin.old["files"][0]["sha256"], new["files"][0]["sha256"]
    if was != now:
        raise CheckFailed(
            f"{pin.key}: {new['files'][0]['path']} was replaced: its SHA-256 is {now} at revision "
            f"{new['revision']}, but {was} is pinned.",
            hint=f"To take the new file: ./nox -s lock -- --upgrade {pin.name}",
        )


def _summary(pin: _Pin) -> str:
    """Return in a few words what a pin is kept at."""
    assert pin.old is not None
    if pin.kind == DEBIAN:
        return f"its {len(pin.old)} packages"
    return ", ".join(dict.fromkeys(_values(pin.kind, {pin.name: pin.old}).values()))


def _values(kind: str, pins: Mapping[str, Table]) -> dict[str, str]:
    """Return what a person tells two pins of a kind apart by, under a name for each value."""
    values: dict[str, str] = {}
    for name, pin in pins.items():
        key = f"{kind}.{name}"
        if kind == "models":
            values |= {f"{key}/{file['path']}": file["sha256"][:12] for file in pin["files"]}
            values |= {f"{key} revision": pin["revision"][:12]} if "revision" in pin else {}
        elif kind == "images":
            values[key] = pin["digest"].removeprefix("sha256:")[:12]
        else:
            values[key] = pin["commit"][:12] if kind == "sources" else pin["version"]
    return values


def render(found: Mapping[str, Table]) -> str:
    """Return the TOML of a table of pins, in the order of their names."""
    known = {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in sorted(found.items())
    }
    return tomli_w.dumps(known)
