"""One-line messages of the worker, each with the seconds since the container's start."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

# The supervisor hands its own start to the processes it starts, so that all count from there.
STARTED_VARIABLE = "SDKILN_STARTED"


def _process_start() -> float:
    """Return when this process was started, in seconds of CLOCK_BOOTTIME (proc(5), field 22)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(fields[22 - 3]) / os.sysconf("SC_CLK_TCK")


STARTED = float(os.environ.get(STARTED_VARIABLE) or _process_start())


def say(event: str, hint: str = "") -> None:
    """Print `sdkiln: EVENT after SECONDS s: HINT` to stderr as one line, whatever EVENT holds."""
    seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - STARTED
    line = f"{event} after {seconds:.1f} s" + (f": {hint}" if hint else "")
    print("sdkiln:", " ".join(line.split()), file=sys.stderr, flush=True)
