"""The probe as a process that takes its steps when it is told to."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from scripts.bench import host
from scripts.bench.container import parse, staged_probe
from scripts.bench.probe.paced import END, GO
from scripts.bench.suite import RawRecord
from scripts.workspace.errors import Failure

LAST_LINES = 20


class Paced:
    """A probe in the Python of one lock, which waits between its steps.

    `records` are those that it has written, but for the waiting; `next` is what it waits for, a
    shape or a round, and None when it is done.
    """

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], said: IO[bytes], records: list[RawRecord]
    ) -> None:
        """Take the process, the file that it writes its progress to, and where records go."""
        self.next: str | None = None
        self._name, self._process, self._said, self._records = name, process, said, records

    def listen(self) -> None:
        """Take its records until it waits or is done. Raises Failure where it ended before."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):  # a killed probe may leave half a line
                break
            record = parse(line)
            if record["record"] == "waiting":
                self.next = record["for"]
                return
            self._records.append(record)
        self.next = None
        code = self._process.wait()
        if code != 0 or not self._records or self._records[-1]["record"] != "final":
            raise self._ended_early(code)

    def go(self) -> None:
        """Let it take its next step, if there is one, and wait. Raises Failure as `listen`."""
        self._tell(GO)

    def end(self) -> None:
        """Have it leave its next step out: no further round of this shape, or no further shape."""
        self._tell(END)

    def kill(self) -> None:
        """End it at once, from whatever thread."""
        self._process.kill()

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        if self.next is None:
            return
        try:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and what it left tells how
        self.listen()

    def _ended_early(self, code: int) -> Failure:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").splitlines()[-LAST_LINES:]
        killed = " (a kill, most often for lack of memory)" if code in (137, -9) else ""
        last = "".join(f"\n  {line}" for line in lines)
        return Failure(
            f"the probe in the environment of {self._name} ended early, with {code}{killed}.{last}",
            hint="What was measured until then is kept.",
        )


@contextmanager
def paced(
    name: str, python: Path, arguments: Sequence[str], records: list[RawRecord]
) -> Iterator[Paced]:
    """Start a probe that writes into `records`; it ends with the block on every way out of it.

    `name` is how messages call its lock. What it says on stderr is told only where it fails: the
    two of every pair would say the same, many times over.
    """
    with (
        staged_probe() as folder,
        tempfile.TemporaryFile() as said,
        host.process_of(
            python, [*arguments, "--paced"], folder, stdin=subprocess.PIPE, stderr=said
        ) as process,
    ):
        yield Paced(name, process, said, records)
