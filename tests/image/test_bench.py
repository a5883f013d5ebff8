"""bench on the built image: what a killed one leaves, and what it answers when it cannot."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from scripts.workspace.paths import ROOT
from tests.support.commands import command


def containers(engine: Engine) -> Sequence[object]:
    return engine.client().containers.list(all=True, filters={"label": "sdkiln=bench"})


def test_what_a_killed_bench_left_is_removed_by_the_next(
    engine: Engine, image: BuildRecord
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.bench", "--suite=attn", "--quick"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not containers(engine):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(containers(engine)) == 1
    done = command("bench", "--suite=attn", "--quick", "--budget=5")
    assert done.returncode == 0, done.stderr
    assert not containers(engine)


def test_an_unknown_suite_is_answered_with_the_nearest(image: BuildRecord) -> None:
    done = command("bench", "--suite=atn")
    assert done.returncode == 2
    assert "Did you mean attn?" in done.stderr
