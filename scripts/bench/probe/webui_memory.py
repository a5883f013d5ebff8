"""Peak memory of the web UI while it draws, its weights and all.

On a CPU Linux keeps the peak of a process's resident set (VmHWM), which can be begun anew before
each picture (proc(5), clear_refs). It is an upper bound of what the picture needs: an allocator
gives back late what earlier ones had taken.

On CUDA the API tells what torch has reserved. The web UI gives its cache back after each picture,
so what was reserved meanwhile stays until then and can be seen by asking; torch's own peak is of
the whole run, which no call of the API begins anew, and is exact when a picture raised it.
"""

import threading
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from .records import progress
from .webui import Api, Refused, on_gpu

T = TypeVar("T")
Measured = tuple[T, "int | None"]

LISTENING = "0A"
POLL_S = 0.02
PROC = Path("/proc")


def listener(port: int) -> int | None:
    """The process that listens on a TCP port of this machine, or None where it cannot be seen."""
    inodes = set()
    for table in ("net/tcp", "net/tcp6"):
        try:
            rows = (PROC / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (row.split() for row in rows):
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in PROC.glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in inodes for link in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue  # another user's, or gone
    return None


class Resident:
    """Peaks of a process's resident set."""

    source = "peak of the web UI's resident set (VmHWM), weights and what was freed late included"

    def __init__(self, process: int) -> None:
        """Take the process. Raises OSError where its peak cannot be begun anew."""
        self._folder = PROC / str(process)
        self._begin()

    def _begin(self) -> None:
        (self._folder / "clear_refs").write_text("5")

    def around(self, call: Callable[[], T]) -> "Measured[T]":
        """Call it; what it returns, and the peak meanwhile in bytes."""
        self._begin()
        result = call()
        lines = (self._folder / "status").read_text().splitlines()
        return result, next(int(each.split()[1]) << 10 for each in lines if "VmHWM:" in each)


class Reserved:
    """Peaks of what torch holds of a GPU, asked for again and again from a thread."""

    source = (
        "most that torch had reserved of the GPU, weights included, as the web UI's API tells it"
    )

    def __init__(self, api: Api) -> None:
        """Take the web UI to ask."""
        self._api = api

    def _ask(self) -> tuple[int, int] | None:
        """Bytes reserved now, and at most since the web UI started; None where it does not tell."""
        try:
            found = self._api.ask("memory")["cuda"]["reserved"]
            return int(found["current"]), int(found["peak"])
        except (Refused, OSError, HTTPException, LookupError, TypeError, ValueError):
            return None

    def around(self, call: Callable[[], T]) -> "Measured[T]":
        """Call it; what it returns, and the peak meanwhile in bytes.

        No peak where an answer is missing: that may have been the one which had it.
        """
        before = self._ask()
        seen: list[tuple[int, int] | None] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(POLL_S):
                seen.append(self._ask())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            result = call()
        finally:
            over.set()
            thread.join()
        after = self._ask()
        if before is not None and after is not None and after[1] > before[1]:
            return result, after[1]
        known = [each[0] for each in seen if each is not None]
        if None in (before, after) or len(known) < len(seen):
            progress("  the web UI did not tell its memory each time: the peak is not known")
            return result, None
        return result, max(known, default=0) or None


class Unknown:
    """Where nothing tells the memory."""

    def __init__(self, reason: str) -> None:
        """Keep why not."""
        self.source = f"not known: {reason}"

    def around(self, call: Callable[[], T]) -> "Measured[T]":
        """Call it; what it returns, and no peak."""
        return call(), None


def memory_of(api: Api) -> "Resident | Reserved | Unknown":
    """What tells the memory of this web UI."""
    if on_gpu(api):
        return Reserved(api)
    port = urlsplit(api.url).port
    process = None if port is None else listener(port)
    if process is None:
        return Unknown("the web UI's process cannot be seen from here")
    try:
        return Resident(process)
    except OSError as error:
        return Unknown(f"the peak of the web UI's process cannot be begun anew ({error.strerror})")
