"""Apache Otava itself, from its lock, reads the CSV of a series and finds what was put into it."""

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from scripts.bench import schema
from scripts.bench.exports import formats
from scripts.lock.install import Trial, installed
from scripts.workspace.paths import LOCKFILES
from tests.support.results import case_of, run_of

RUNS = 30
SLOWER_FROM = 18
"""The first run in which `V1` takes a tenth longer; `sdp` takes as long as ever."""

# As docs/benchmarking.md has it.
CONFIGURATION = """\
tests:
  attention:
    type: csv
    file: series.csv
    time_column: time
    attributes: [commit, run_id, torch, xformers]
    metrics:
      sdp: {column: attn/x/float16/sdp ns, direction: -1}
      V1: {column: attn/x/float16/V1 ns, direction: -1}
"""


@pytest.fixture(scope="module")
def otava() -> Iterator[Path]:
    """The Python of an environment in which nothing but the lock is installed."""
    trial = Trial("history", (LOCKFILES / "history.txt",), sys.executable, ())
    with installed(trial, print) as python:
        yield python


def day(number: int) -> schema.Run:
    """The run of a day: noise of half a per cent, and the change."""
    noise = random.Random(number)
    slower = 1.1 if number >= SLOWER_FROM else 1.0
    cases = (
        case_of("attn/x/float16/sdp", round(40e6 * noise.gauss(1, 0.005))),
        case_of("attn/x/float16/V1", round(60e6 * slower * noise.gauss(1, 0.005))),
        case_of("attn/x/float16/xformers"),
    )
    return run_of(
        cases,
        run_id=f"run-{number}",
        utc=(datetime(2026, 1, 1) + timedelta(days=number)).strftime(schema.UTC),
        git=schema.Git(sha=f"{number:040x}", dirty=False),
    )


def test_otava_reads_the_series_and_finds_the_one_change(otava: Path, tmp_path: Path) -> None:
    runs = [day(number) for number in range(RUNS)]
    (tmp_path / "series.csv").write_text(formats.render("otava", runs[::-1]))
    (tmp_path / "otava.yaml").write_text(CONFIGURATION)
    command = [str(otava), "-m", "otava.main", "analyze", "attention", "--config-file=otava.yaml"]
    command += ["--since=2026-01-01", "-M", "0.02", "--output=json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (point,) = json.loads(done.stdout)["attention"]
    found = datetime.fromtimestamp(point["time"], tz=timezone.utc)
    assert found.strftime(schema.UTC) == runs[SLOWER_FROM].utc
    assert point["attributes"] == {
        "commit": f"{SLOWER_FROM:040x}",
        "run_id": f"run-{SLOWER_FROM}",
        "torch": "2.1.2",
        "xformers": "",
    }
    (change,) = point["changes"]
    assert (change["metric"], change["index"]) == ("V1", SLOWER_FROM)
    medians = [run.cases[1].samples_ns[0] for run in runs]
    assert float(change["mean_before"]) == pytest.approx(statistics.mean(medians[:SLOWER_FROM]))
    assert float(change["mean_after"]) == pytest.approx(statistics.mean(medians[SLOWER_FROM:]))
