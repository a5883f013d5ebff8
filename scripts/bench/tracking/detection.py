"""Apache Otava, in an environment of its own, asked for the change points of series."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.lock.install import Trial, kept
from scripts.workspace.cli import say
from scripts.workspace.errors import Failure
from scripts.workspace.paths import LOCKFILES, WORKSPACE

ENVIRONMENT = "history"
PROGRAM = Path(__file__).with_name("otava_points.py")
WINDOW = 50
MAX_P = 0.001
MIN_MAGNITUDE = 0.02
"""Otava's own defaults for window and p; 2 % is what a run of ours is to find."""
LEAST_AFTER = 6
"""Points from a change on, itself among them: with fewer, one bad day looks like a change."""
LEAST_POINTS = 2 * LEAST_AFTER
"""Shorter series are not asked about: they would have next to nothing before such a change."""
LIMIT_S = 600


@dataclass(frozen=True)
class Point:
    """The first index of the new level, and the p of Student's t-test of both levels."""

    index: int
    p: float


def change_points(series: Mapping[str, Sequence[float]]) -> dict[str, list[Point]]:
    """The change points of each series that is long enough, in order.

    The first call installs Otava; none is made for series that are all short. Raises Failure where
    it cannot be installed or ends without an answer.
    """
    long = {name: list(values) for name, values in series.items() if len(values) >= LEAST_POINTS}
    if not long:
        return {}
    asked = {"window": WINDOW, "max_p": MAX_P, "min_magnitude": MIN_MAGNITUDE, "series": long}
    # -I: what lies in the current folder, or in PYTHONPATH, is none of Otava's.
    done = subprocess.run(
        [_python(), "-I", PROGRAM],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    if done.returncode:
        raise Failure(f"Otava ended with {done.returncode}:\n{done.stderr.strip()}")
    return told(json.loads(done.stdout), long)


def told(
    answer: Mapping[str, Sequence[tuple[int, float]]], series: Mapping[str, Sequence[float]]
) -> dict[str, list[Point]]:
    """The points of Otava's answer that are sure enough: p, and how many points came since."""
    return {
        name: [
            Point(index, p)
            for index, p in points
            if p < MAX_P and len(series[name]) - index >= LEAST_AFTER
        ]
        for name, points in answer.items()
    }


def _python() -> Path:
    trial = Trial(ENVIRONMENT, (LOCKFILES / f"{ENVIRONMENT}.txt",), sys.executable, ())
    return kept(trial, WORKSPACE / ENVIRONMENT, lambda line: say(f"bench: {line}"))
