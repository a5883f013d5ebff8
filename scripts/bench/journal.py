"""The journal of a run: every record on disk as it comes, so that a killed run can be continued.

A file of JSON lines beside the results: the head, then each record with its suite and shape. It is
there as long as its run is not finished, and locked as long as its run lives. What was cut off in
the middle of a line counts up to the last whole one.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from scripts.bench import schema
from scripts.bench.suite import RawRecord, ShapeOf
from scripts.workspace.cli import say
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import MeasuredSuite, nearest
from scripts.workspace.paths import BENCH, shown

SUFFIX = ".part.jsonl"
MACHINE = ("host", "gpu", "sw")
"""Parts of a suite's header that are the same in all suites of a run."""


class Head(schema.Record):
    """The first line: which run it is, how it was asked for, and what it is measured by and on."""

    journal: Literal[1] = 1
    run_id: str
    utc: str
    argv: tuple[str, ...]
    suites: tuple[MeasuredSuite, ...]
    commit: str | None
    lock_sha256: str | None
    image_digest: str | None


class Line(NamedTuple):
    """A record, its suite, and the key of the shape that it belongs to, if it does to one."""

    suite: str
    shape: str | None
    record: RawRecord


@dataclass(frozen=True)
class Unfinished:
    """What a journal holds: `lines` of the shapes that are finished, and of no shape.

    `continued` are the times (UTC) at which the run was gone on with, `size` the bytes of the whole
    lines.
    """

    path: Path
    head: Head
    lines: tuple[Line, ...]
    continued: tuple[str, ...]
    size: int

    def records(self, suite: MeasuredSuite) -> list[RawRecord]:
        """The records of one suite."""
        return [line.record for line in self.lines if line.suite == suite]

    def finished(self, suite: MeasuredSuite) -> tuple[str, ...]:
        """The keys of the shapes of a suite that need not be measured again."""
        return tuple(_ended(line for line in self.lines if line.suite == suite))

    def is_done(self, suite: MeasuredSuite) -> bool:
        """Whether the suite had come to its end."""
        return any(record["record"] == "final" for record in self.records(suite))

    def is_worth_continuing(self) -> bool:
        """Whether anything of it would not be measured anew."""
        return bool(_ended(self.lines))

    def require(self, now: Head) -> None:
        """Raise BadInput where the run would go on with another program, lock or image."""
        pairs = {
            "commit": (self.head.commit, now.commit),
            "lock": (self.head.lock_sha256, now.lock_sha256),
            "image": (self.head.image_digest, now.image_digest),
        }
        self.refuse(
            f"{what} {(old or 'none')[:19]} -> {(new or 'none')[:19]}"
            for what, (old, new) in pairs.items()
            if old != new
        )

    def require_machine(self, suite: MeasuredSuite, header: RawRecord) -> None:
        """Raise BadInput where a suite's header is of another machine, or of other versions."""
        own = next((r for r in self.records(suite) if r["record"] == "header"), None)
        first = next((e.record for e in self.lines if e.record["record"] == "header"), None)
        if own is not None:
            self.refuse(_differences(own, header, (*MACHINE, "flags")))
        elif first is not None:
            self.refuse(_differences(first, header, MACHINE))

    def refuse(self, differences: Iterable[str]) -> None:
        """Raise BadInput if there is any difference."""
        if found := list(differences):
            raise BadInput(
                f"run {self.head.run_id} cannot go on here: {'; '.join(found)}.",
                hint="Bring back what it was begun with, or forget it: "
                f"rm {shown(self.path)} and measure anew.",
            )


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], parts: Sequence[str]
) -> Iterator[str]:
    """What of two headers is not the same, as `sw.torch 2.1.2 -> 2.8.0`."""
    for part in parts:
        before, after = old.get(part), new.get(part)
        if not (isinstance(before, dict) and isinstance(after, dict)):
            if before != after:
                yield f"{part} {_brief(before)} -> {_brief(after)}"
            continue
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                yield f"{part}.{key} {before.get(key)} -> {after.get(key)}"


def _brief(part: object) -> str:
    return str(part["name"]) if isinstance(part, dict) and "name" in part else str(part or "none")


def _ended(lines: Iterable[Line]) -> dict[str, None]:
    """The shapes with an end, in order; those of two suites may have one name."""
    return dict.fromkeys(
        line.shape
        for line in lines
        if line.shape is not None and line.record["record"] == "shape_end"
    )


def _kept(lines: Sequence[Line]) -> list[Line]:
    """Without what an unfinished shape had: it starts anew."""
    ended = {(line.suite, line.shape) for line in lines if line.record["record"] == "shape_end"}
    return [line for line in lines if line.shape is None or (line.suite, line.shape) in ended]


def parse(data: bytes, path: Path) -> Unfinished:
    """Read a journal up to its last whole line. Raises BadInput where not even its head is."""
    *whole, _ = data.split(b"\n")
    head: Head | None = None
    lines: list[Line] = []
    continued: list[str] = []
    size = 0
    for text in whole:
        try:
            content = json.loads(text)
            if head is None:
                head = Head.model_validate_json(text)
            elif "continued" in content:
                continued.append(str(content["continued"]))
                lines = _kept(lines)
            else:
                lines.append(_line(content))
        except (ValueError, ValidationError, LookupError, TypeError):
            break  # a disk that was full, or lost its power, ends a file in anything
        size += len(text) + 1
    if head is None:
        raise BadInput(
            f"{shown(path)} was cut in its first line: there is nothing to go on with.",
            hint=f"rm {shown(path)}",
        )
    return Unfinished(path, head, tuple(_kept(lines)), tuple(continued), size)


def _line(content: Mapping[str, Any]) -> Line:
    """Raises LookupError or TypeError for what is no line of a record."""
    suite, shape, record = content["suite"], content["shape"], content["record"]
    if not isinstance(record, dict) or not isinstance(record["record"], str):
        raise TypeError("no record")
    return Line(suite, shape, record)


class Journal:
    """An open journal, locked while this process lives."""

    def __init__(
        self, head: Head, descriptor: int, size: int = 0, continued: tuple[str, ...] = ()
    ) -> None:
        """Take a file that is locked, with `size` bytes of whole lines.

        `continued` are the times (UTC) at which the run was gone on with.
        """
        self.head, self.continued = head, continued
        self._descriptor, self._size = descriptor, size

    @property
    def path(self) -> Path:
        """The file."""
        return path_of(self.head.run_id)

    def write(self, content: Mapping[str, Any], *, durable: bool) -> None:
        """Append a line; it outlives this process, and if `durable` the machine's power, too.

        Raises Failure where the disk does not take it.
        """
        left = json.dumps(content, separators=(",", ":")).encode() + b"\n"
        length = len(left)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
            if durable:
                os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            raise Failure(
                f"the journal {shown(self.path)} cannot be written: {error.strerror}.",
                hint="What was measured until then is in it. Make space, and go on: "
                f"./nox -s bench -- --continue {self.head.run_id}"
                if self._size
                else "Make space: what is measured is written there as it comes.",
            ) from None
        self._size += length

    def end(self, *, whole: bool) -> None:
        """Forget a run that is `whole`, or has nothing to go on with; say how to go on with others.

        Its result has been written.
        """
        if not whole and parse(self.path.read_bytes(), self.path).is_worth_continuing():
            say(f"bench: to measure the rest: ./nox -s bench -- --continue {self.head.run_id}")
        else:
            self.path.unlink()

    def close(self) -> None:
        """Give up the lock: whoever wants may go on with what is left."""
        os.close(self._descriptor)


def begin(head: Head) -> Journal:
    """A new journal. Raises Failure where the disk does not take it."""
    path = path_of(head.run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    journal = Journal(head, descriptor)
    try:
        journal.write(head.model_dump(mode="json"), durable=True)
    except Failure:
        path.unlink()
        raise
    return journal


def resume(before: Unfinished, utc: str) -> Journal:
    """Go on with a journal from its last whole line. Raises BadInput if its run still lives."""
    descriptor = os.open(before.path, os.O_WRONLY | os.O_APPEND)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise _still_running(before.path) from None
    os.ftruncate(descriptor, before.size)
    journal = Journal(before.head, descriptor, before.size, (*before.continued, utc))
    journal.write({"continued": utc}, durable=True)
    return journal


def path_of(run_id: str) -> Path:
    """Where the journal of a run is."""
    return BENCH / f"{run_id}{SUFFIX}"


def _run_id(path: Path) -> str:
    return path.name.removesuffix(SUFFIX)


def _still_running(path: Path) -> BadInput:
    return BadInput(f"run {_run_id(path)} is still running.", hint="Wait for it, or stop it.")


def _is_running(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def newest() -> Unfinished | None:
    """The run begun last of those that ended without a result; None if there is none."""
    for path in sorted(BENCH.glob(f"*{SUFFIX}"), reverse=True):
        try:
            if not _is_running(path):
                return parse(path.read_bytes(), path)
        except (BadInput, FileNotFoundError):
            continue  # cut in its head; or finished meanwhile
    return None


def find(wanted: str) -> Unfinished:
    """The unfinished run of that id, or for "" the newest.

    Raises BadInput where there is none, where it still runs, or where it was cut in its head.
    """
    if not wanted:
        found = newest()
        if found is None:
            raise BadInput("there is no unfinished run to go on with.")
        return found
    known = {_run_id(path): path for path in sorted(BENCH.glob(f"*{SUFFIX}"))}
    if wanted not in known:
        close = nearest(wanted, known) if known else " There is none."
        raise BadInput(f"there is no unfinished run {wanted!r}.{close}")
    if _is_running(known[wanted]):
        raise _still_running(known[wanted])
    return parse(known[wanted].read_bytes(), known[wanted])


class Kept:
    """Where the records of one suite go: into the journal, and into `records` for the result."""

    def __init__(
        self, journal: Journal, suite: MeasuredSuite, shape_of: ShapeOf, before: Unfinished | None
    ) -> None:
        """Begin with what the run had `before` it was continued."""
        self._journal, self._suite, self._shape_of = journal, suite, shape_of
        self._before = before
        self.records: list[RawRecord] = [] if before is None else before.records(suite)

    def append(self, record: RawRecord, /) -> None:
        """Keep a record. Raises BadInput for the header of another machine than before."""
        if self._before is not None and record["record"] == "header":
            self._before.require_machine(self._suite, record)
        self.records.append(record)
        line = {"suite": self._suite, "shape": self._shape_of(record), "record": record}
        # A shape without its end starts anew, so only the end need outlive the machine's power.
        durable = record["record"] in ("header", "shape_end", "final")
        self._journal.write(line, durable=durable)
