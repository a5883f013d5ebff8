"""Stands for the probe where there is no torch: the protocol is real, the times are made up.

It is copied as `probe/__main__.py`, and rounds and records are the probe's own modules. Variables
tell it what to do: `FACTOR` is by what a case of 1 ms takes longer, `SIDE` and `LOG` are a name and
a file that gets a line for every sample, `DIE` is a shape in whose rounds it ends, `NO_XFORMERS`
says that there are none.
"""

import argparse
import os
import sys
from pathlib import Path

from scripts.bench.probe.paced import Pace
from scripts.bench.probe.records import Emitter
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.probe.samples import Sample
from scripts.bench.probe.schedule import Schedule, run

HOST = {"cpu": "a CPU", "cores": 2, "governor": None, "kernel": "6.1", "cgroup": None}
SW = {"torch": "2.1.2", "cuda": None, "cudnn": None, "xformers": None, "python": "3.11.7"}
FLAGS = {"tf32": False, "cudnn_benchmark": False, "deterministic": False, "env": {}}
SHAPES = ("small/float32", "large/float32")
SDP_NS = 1_000_000


def main() -> int:
    """Measure nothing, in the steps that the host allows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("suite")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--paced", action="store_true", required=True)
    args, _ = parser.parse_known_args()
    emitter = Emitter()
    pace = Pace(emitter.emit)
    head = {"suite": args.suite, "host": HOST, "gpu": None, "sw": SW, "flags": FLAGS}
    emitter.emit("header", head)
    for shape in SHAPES:
        if not pace.allows("shape"):
            break
        emitter.emit("shape", {"key": shape, "name": shape.partition("/")[0]})
        cases = {}
        for name in ("sdp", "sdp" + AGAIN, "xformers"):
            missing = name == "xformers" and "NO_XFORMERS" in os.environ
            emitter.emit("case", case(args.suite, shape, name, missing=missing))
            if not missing:
                cases[name] = lambda name=name, shape=shape: sample(shape, name)
        schedule = Schedule(args.seed, 6, 0.0, 0.0, pace)
        run(cases, "sdp", shape, schedule, emitter.emit)
    emitter.emit("final", {})
    return 0


def case(suite: str, shape: str, name: str, *, missing: bool) -> dict[str, str | None]:
    """The record of a case, as the networks' suites write it."""
    return {
        "id": f"{suite}/{shape}/{name}",
        "shape": shape,
        "dtype": "float32",
        "requested": name.removesuffix(AGAIN),
        "status": "unavailable" if missing else "ok",
        "reason": "no xformers" if missing else None,
    }


def sample(shape: str, name: str) -> Sample:
    """A time, and a line that tells who took it."""
    if os.environ.get("DIE") == shape:
        print("no memory for this", file=sys.stderr, flush=True)
        os._exit(7)
    with Path(os.environ["LOG"]).open("a") as log:
        log.write(f"{os.environ['SIDE']} {os.getpid()} {shape} {name}\n")
    taken = round(SDP_NS * float(os.environ["FACTOR"]))
    return Sample(taken, taken)


if __name__ == "__main__":
    raise SystemExit(main())
