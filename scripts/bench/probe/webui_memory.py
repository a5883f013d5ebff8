"""Peak memory of the web UI while it draws, beyond what it held when it was idle.

On a CPU Linux keeps the peak of a process's resident set (VmHWM), which can be begun anew before
each picture (proc(5), clear_refs). It is an upper bound: an allocator gives freed memory back late.

On CUDA the API tells what torch has reserved. The web UI gives its cache back after each picture,
so what was reserved meanwhile stays until then and can be seen by asking; torch's own peak is of
the whole run, which no call of the API begins anew, and is exact when a picture raised it.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .webui import Api, on_gpu

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

    source = "growth of the web UI's resident set (VmHWM), an upper bound"

    def __init__(self, process: int) -> None:
        """Take the process, idle. Raises OSError where its peak cannot be begun anew."""
        self._folder = PROC / str(process)
        self._begin()
        self._idle = self._bytes("VmRSS:")

    def _begin(self) -> None:
        (self._folder / "clear_refs").write_text("5")

    def _bytes(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    def around(self, call: Callable[[], T]) -> "Measured[T]":
        """Call it; what it returns, and the peak meanwhile in bytes."""
        self._begin()
        result = call()
        return result, max(self._bytes("VmHWM:") - self._idle, 0)


class Reserved:
    """Peaks of what torch holds of a GPU, asked for again and again from a thread."""

    source = "growth of what torch has reserved of the GPU, as the web UI's API tells it"

    def __init__(self, api: Api) -> None:
        """Take a web UI that is idle."""
        self._api = api
        self._idle = self._ask()["current"]

    def _ask(self) -> dict[str, Any]:
        found: dict[str, Any] = self._api.ask("memory")["cuda"]["reserved"]
        return found

    def around(self, call: Callable[[], T]) -> "Measured[T]":
        """Call it; what it returns, and the peak meanwhile in bytes."""
        before = self._ask()["peak"]
        seen = [0]
        over = threading.Event()

        def watch() -> None:
            while not over.wait(POLL_S):
                seen.append(self._ask()["current"])

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            result = call()
        finally:
            over.set()
            thread.join()
        after = self._ask()["peak"]
        peak = after if after > before else max(seen)
        return result, max(peak - self._idle, 0) if peak else None


class Unknown:
    """Where nothing tells the memory."""

    def __init__(self, reason: str) -> None:
        """Keep why not."""
        self.source = f"not known: {reason}"

    def around(self, call: Callable[[], T]) -> "Measured[T]":
        """Call it; what it returns, and no peak."""
        return call(), None


def memory_of(api: Api) -> "Resident | Reserved | Unknown":
    """What tells the memory of this web UI, which is idle."""
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
