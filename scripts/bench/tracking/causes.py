"""What was not alike in two runs, package by package: why a case may have changed."""

from collections.abc import Iterator
from pathlib import Path

from scripts.bench.compare import differing
from scripts.bench.schema import Run
from scripts.bench.tracking import locks
from scripts.lock.moves import moves
from scripts.workspace.paths import ROOT


def because(before: Run, after: Run, suite: str, root: Path = ROOT) -> tuple[str, ...]:
    """What differs between two runs and may matter to a suite: `torch 2.1.2 -> 2.8.0`.

    First what the probe found (versions, flags, driver, kernel), then the packages that moved
    between the two locks, which are looked up in the repository at `root`. Where nothing of it
    differs, the commits, for then it was our own code; nothing at all leaves the machine.
    """
    locked = list(_locked(before, after, suite, root))
    # The lock's words for a package are the shorter ones: torch itself adds the build.
    of_lock = {_name(line): line for line in locked}
    seen = [of_lock.get(_name(line), line) for line in _seen(before, after)]
    return tuple(dict.fromkeys([*seen, *locked])) or tuple(_code(before, after))


def _name(line: str) -> str:
    return line.split(" ", 1)[0]


def _seen(before: Run, after: Run) -> Iterator[str]:
    # Locks and image are told below, by what is in them.
    unlocked = {"lock_sha256": None, "image_digest": None}
    yield from differing(before.model_copy(update=unlocked), after.model_copy(update=unlocked))
    pairs = {
        "driver": tuple(run.gpu and run.gpu.driver for run in (before, after)),
        "kernel": (before.host.kernel, after.host.kernel),
        "governor": (before.host.governor, after.host.governor),
    }
    for name, (old, new) in pairs.items():
        if old != new:
            yield f"{name} {old or 'unknown'} -> {new or 'unknown'}"


def _locked(before: Run, after: Run, suite: str, root: Path) -> Iterator[str]:
    """Yield what moved between the locks of two runs; where one is not in git, that it is not."""
    if before.lock_sha256 == after.lock_sha256:
        return
    old, new = (locks.of_run(run, root) for run in (before, after))
    if old is None or new is None:
        known = {"before": (before, old), "after": (after, new)}
        for word, (run, found) in known.items():
            if found is None and run.lock_sha256 is not None:
                yield f"lockfiles {run.lock_sha256[:12]} of the run {word} are not in git"
        return
    moved = moves(locks.of_suite(suite, before, old), locks.of_suite(suite, after, new))
    yield from (f"{move.name} {move.old} -> {move.new}" for move in moved)
    was, now = locks.of_image(old), locks.of_image(new)
    yield from (f"{name} changed" for name in was if was[name] != now[name])


def _code(before: Run, after: Run) -> Iterator[str]:
    if before.git.sha != after.git.sha:
        old, new = ((run.git.sha or "unknown")[:12] for run in (before, after))
        yield f"commit {old} -> {new}"
