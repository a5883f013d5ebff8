"""Times `lock` beside single compilations, round by round, each with an empty cache of its own.

    PYTHONPATH=. .workspace/venv/bin/python benchmarks/lock/measure.py [--rounds N] [--pip-compile]

Prints every sample and, for each case, the median, in seconds. --pip-compile adds one run of
pip-compile on the webui environment, which takes minutes.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
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


def cold(run: Callable[[str], float]) -> float:
    """Return what `run` measures with an empty folder for its cache."""
    with tempfile.TemporaryDirectory() as cache:
        return run(cache)


def single(job: resolve.Job) -> float:
    """Return the seconds of one `uv pip compile` as a person would type it."""
    workspace = load()
    options = resolve.options(job, workspace, resolve.cutoffs(workspace.lock))
    files = [str(file) for file in job.files]
    command = [find_uv_bin(), *options, "--generate-hashes", "--quiet", *files]
    return cold(lambda cache: timed(command, ROOT, {"UV_CACHE_DIR": cache}))


def every_target(clone: Path) -> float:
    """Return the seconds of `lock` when no Python lockfile is there."""
    for path in (clone / "lockfiles").glob("*.txt"):
        path.unlink()
    shutil.rmtree(clone / ".workspace", ignore_errors=True)
    command = [sys.executable, "-m", "scripts.lock"]
    return cold(lambda cache: timed(command, clone, {"UV_CACHE_DIR": cache}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pip-compile", action="store_true")
    args = parser.parse_args()
    workspace = load()
    jobs = [resolve.job(workspace, target) for target in targets(workspace)]
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        clone = fresh_clone(Path(folder) / "sdkiln")
        unchanged = [sys.executable, "-m", "scripts.lock"]
        for number in range(args.rounds):
            for job in jobs:
                # What lies on another lock is no resolution of its own.
                if job.base is None:
                    samples.setdefault(f"uv pip compile {job.target.name}", []).append(single(job))
            samples.setdefault("lock, every target, cold", []).append(every_target(clone))
            samples.setdefault("lock, nothing changed", []).append(timed(unchanged, clone, {}))
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
        if args.pip_compile:
            (job,) = [each for each in jobs if each.target.name == "webui-cu121-py3.11"]
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as cache:
                verify.CACHE = Path(cache)  # pip's and pip-tools' caches are empty too
                os.environ["PIP_NO_CACHE_DIR"] = "1"
                differing = verify.verify([job], workspace, print)
            samples["pip-compile webui-cu121-py3.11"] = [time.perf_counter() - started]
            print(f"differences to uv: {len(differing)}")
    for name, each in samples.items():
        listed = " ".join(f"{value:.2f}" for value in each)
        print(f"{name:40} median {statistics.median(each):7.2f} s   {listed}")
    singles = {name: each for name, each in samples.items() if name.startswith("uv pip compile")}
    slowest = max(statistics.median(each) for each in singles.values())
    whole = statistics.median(samples["lock, every target, cold"])
    print(f"every target / slowest single: {whole / slowest:.2f}")


if __name__ == "__main__":
    main()
