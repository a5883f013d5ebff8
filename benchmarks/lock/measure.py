"""Times `lock` beside single compilations, round by round, each with an empty cache of its own.

    PYTHONPATH=. .workspace/venv/bin/python benchmarks/lock/measure.py [--rounds N] [--pip-compile]

Prints every sample and, for each case, the median, in seconds, with what its cache held in the end:
the pages and the metadata that it had to fetch. --pip-compile adds one run of pip-compile on the
webui environment, which takes minutes.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from uv import find_uv_bin

from scripts.lock import resolve, verify
from scripts.workspace.model import load, targets
from scripts.workspace.paths import ROOT
from tests.support.clones import fresh_clone


def timed(command: list[str], cwd: Path, environment: Mapping[str, str]) -> float:
    """Return the wall time of a command in seconds; ends the program when it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return seconds


Sample = tuple[float, float]
EVERY = "lock, every target, cold"
UNCHANGED = "lock, nothing changed"


def cold(run: Callable[[str], float], caches: Path) -> Sample:
    """Return what `run` measures with an empty folder for its cache, and the MB that it left.

    The folder stays: for some seconds after thousands of files were removed, ext4 makes new ones
    more slowly.
    """
    cache = tempfile.mkdtemp(dir=caches)
    seconds = run(cache)
    files = (path for path in Path(cache).rglob("*") if path.is_file())
    return seconds, sum(path.stat().st_size for path in files) / 1e6


def single(job: resolve.Job, caches: Path) -> Sample:
    """Measure one `uv pip compile` as a person would type it."""
    workspace = load()
    options = resolve.options(job, workspace, resolve.cutoffs(workspace.lock))
    files = [str(file) for file in job.files]
    command = [find_uv_bin(), *options, "--generate-hashes", "--quiet", *files]
    return cold(lambda cache: timed(command, ROOT, {"UV_CACHE_DIR": cache}), caches)


def every_target(clone: Path, caches: Path) -> Sample:
    """Measure `lock` when no Python lockfile is there."""
    for path in (clone / "lockfiles").glob("*.txt"):
        path.unlink()
    shutil.rmtree(clone / ".workspace", ignore_errors=True)
    command = [sys.executable, "-m", "scripts.lock"]
    return cold(lambda cache: timed(command, clone, {"UV_CACHE_DIR": cache}), caches)


def median(samples: Sequence[Sample]) -> float:
    """Return the median of the seconds."""
    return statistics.median(seconds for seconds, _ in samples)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pip-compile", action="store_true")
    args = parser.parse_args()
    workspace = load()
    jobs = [resolve.job(workspace, target) for target in targets(workspace)]
    samples: dict[str, list[Sample]] = {}
    with tempfile.TemporaryDirectory() as folder:
        clone, caches = fresh_clone(Path(folder) / "sdkiln"), Path(folder) / "caches"
        caches.mkdir()
        unchanged = [sys.executable, "-m", "scripts.lock"]
        for number in range(args.rounds):
            for job in jobs:
                # What lies on another lock is no resolution of its own.
                if job.base is None:
                    name = f"uv pip compile {job.target.name}"
                    samples.setdefault(name, []).append(single(job, caches))
            samples.setdefault(EVERY, []).append(every_target(clone, caches))
            samples.setdefault(UNCHANGED, []).append((timed(unchanged, clone, {}), 0))
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
        if args.pip_compile:
            (job,) = [each for each in jobs if each.target.name == "webui-cu121-py3.11"]
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as cache:
                verify.CACHE = Path(cache)  # pip's and pip-tools' caches are empty too
                os.environ["PIP_NO_CACHE_DIR"] = "1"
                differing = verify.verify([job], workspace, print)
            samples["pip-compile webui-cu121-py3.11"] = [(time.perf_counter() - started, 0)]
            print(f"differences to uv: {len(differing)}")
    for name, each in samples.items():
        listed = " ".join(f"{seconds:.2f}" for seconds, _ in each)
        held = f"{each[-1][1]:3.0f} MB" if each[-1][1] else ""
        print(f"{name:40} median {median(each):7.2f} s {held:6}   {listed}")
    slowest = max(median(each) for name, each in samples.items() if name.startswith("uv pip"))
    started = median(samples[UNCHANGED])
    print(f"({EVERY} - {UNCHANGED}) / slowest: {(median(samples[EVERY]) - started) / slowest:.2f}")


if __name__ == "__main__":
    main()
