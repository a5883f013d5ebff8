"""Times the probe from its start to its first sample, beside `import torch`, in turns.

    PYTHONPATH=. .workspace/nox/bench/bin/python benchmarks/harness/startup.py --python PATH

Prints every round, in seconds of wall time: `import torch` in a process of its own; then the probe
of suite attn at its default size until its header (all is imported), its first case (one backend
was checked and warmed up) and its first round (every backend was, and was timed once). Beside them
is the processor time of both processes, which other programs on the machine disturb less. Last come
the medians, and what the probe takes beyond `import torch`. A first round, which fills the page
cache, does not count.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from scripts.bench.host import interpreter, run_probe

RECORDS = ("header", "case", "round")
COLUMNS = ("torch", *RECORDS, "torch_cpu", "probe_cpu")
ASKED = ("attn", "--seed", "1", "--rounds", "30", "--budget", "90")
LIMIT_S = 120.0
ABOUT = "import torch; print(torch.__version__, torch.get_num_threads())"


def torch_alone(python: Path) -> float:
    """Return what a process that imports torch and no more takes, in seconds."""
    begun = time.perf_counter()
    subprocess.run([python, "-c", "import torch"], check=True)
    return time.perf_counter() - begun


def probe(python: Path) -> dict[str, float]:
    """Return how long after its start the probe wrote the first record of each kind, in seconds."""
    seen: dict[str, float] = {}
    begun = time.perf_counter()
    with closing(run_probe(python, ASKED, LIMIT_S, {})) as records:
        for record in records:
            seen.setdefault(record["record"], time.perf_counter() - begun)
            if "round" in seen:
                break
    return {name: seen[name] for name in RECORDS}


def with_cpu(run: Callable[[], object]) -> float:
    """Run it; return the processor time of the processes that it started, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def one_round(python: Path) -> dict[str, float]:
    """Return the columns of one round."""
    taken: dict[str, float] = {}
    taken["torch_cpu"] = with_cpu(lambda: taken.update(torch=torch_alone(python)))
    taken["probe_cpu"] = with_cpu(lambda: taken.update(probe(python)))
    return {name: taken[name] for name in COLUMNS}


def main() -> None:
    """Print every round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    python = interpreter(args.python)
    about = subprocess.run([python, "-c", ABOUT], check=True, capture_output=True, text=True)
    version, threads = about.stdout.split()
    print(f"torch {version}, {threads} threads; load {os.getloadavg()[0]:.1f}")
    print("round", *COLUMNS)
    rounds = []
    for index in range(args.rounds + 1):
        rounds.append(one_round(python))
        print(index, *(f"{seconds:.2f}" for seconds in rounds[-1].values()), flush=True)
    middle = {name: statistics.median(each[name] for each in rounds[1:]) for name in COLUMNS}
    print("median", *(f"{seconds:.2f}" for seconds in middle.values()))
    for name in RECORDS:
        print(f"{name} beyond import torch: {middle[name] - middle['torch']:.2f} s")
    print(f"processor time beyond import torch: {middle['probe_cpu'] - middle['torch_cpu']:.2f} s")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    sys.exit(main())
