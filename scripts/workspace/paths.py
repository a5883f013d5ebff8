"""Where things are: the folders that people edit and the one that holds everything produced."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCKFILES = ROOT / "lockfiles"
DOCKER = ROOT / "docker"
BENCHMARKS = ROOT / "benchmarks"
# Everything that is produced, ignored by git. The tests move it away from the user's own.
WORKSPACE = (ROOT / (os.environ.get("SDKILN_WORKSPACE") or ".workspace")).resolve()
CACHE = WORKSPACE / "cache"
BUILDS = WORKSPACE / "builds"
ENGINE = WORKSPACE / "engine"
BENCH = WORKSPACE / "bench"
REPORT = WORKSPACE / "report"


def shown(path: Path) -> str:
    """Return the path as a person would type it: relative to the root where it is below it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
