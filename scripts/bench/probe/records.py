"""JSON lines on stdout and progress on stderr: a run that is killed keeps what it has measured."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

SCHEMA = 1


def _private_stdout() -> int:
    """Keep stdout for records alone: what libraries print there goes to stderr from now on."""
    sys.stdout.flush()
    records = os.dup(1)
    os.dup2(2, 1)
    return records


class Emitter:
    """Writes one record a line, each in one `write`, flushed."""

    def __init__(self) -> None:
        """Take stdout for the records alone; once in a process."""
        self._fd = _private_stdout()

    def emit(self, record: str, fields: Mapping[str, Any]) -> None:
        """Write `fields` as a record of the kind `record`."""
        line = json.dumps({"record": record, **fields}, separators=(",", ":")).encode() + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]


def progress(message: str) -> None:
    """Tell the person who waits what is being done."""
    print(message, file=sys.stderr, flush=True)
