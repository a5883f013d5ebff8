"""Makes a CPU run out of memory as a GPU does: with an error that ends one case, not the run."""

import resource
from pathlib import Path

SHARE = 0.9
"""Part of the free memory that may be taken; the rest is for the machine and for threads."""
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory that can still be had from the machine, and from the cgroup if that limits it."""
    free = _field("/proc/meminfo", "MemAvailable:")
    try:
        most = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):  # no cgroup of version 2 here, or "max"
        return free
    return min(free, max(most - used, 0))


def limit_to_free(cgroup: Path = _CGROUP, processes: int = 1) -> None:
    """Let the allocator refuse what is not there, before the kernel ends the whole process.

    Each of so many processes may take its part of what is free now.
    Linux counts private writable mappings against RLIMIT_DATA (setrlimit(2), since 4.7).
    """
    allowed = _field("/proc/self/status", "VmData:") + int(SHARE * free_bytes(cgroup) / processes)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


def _field(path: str, name: str) -> int:
    """A line of the form `name 123 kB`, in bytes."""
    with Path(path).open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"{path} names no {name}")
