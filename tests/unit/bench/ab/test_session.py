"""Processes of two locks that take rounds in turns, with a probe whose times alone are made up."""

import shutil
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from scripts.bench import container, schema
from scripts.bench.ab import locks, results, session
from scripts.bench.ab.ask import Ask, Side
from scripts.bench.ab.blocks import LEAST_PAIRS
from scripts.bench.ab.paced import Paced
from scripts.bench.ab.results import AFTER, BEFORE, Streams
from scripts.bench.compare import Compared
from scripts.workspace.errors import Failure
from scripts.workspace.paths import ROOT

OLD, NEW = Side("old", "torch==1 --hash=sha256:0\n"), Side("new", "torch==2 --hash=sha256:1\n")


class Bench:
    """A session of two environments whose Pythons run the fake probe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.results = folder / "results"

    def python(self, side: Side, factor: float, **environment: str) -> None:
        """A Python in which a case takes `factor` times 1 ms."""
        told = {"SIDE": side.name, "FACTOR": str(factor), "LOG": str(self.log), **environment}
        words = " ".join(f"{name}={value}" for name, value in told.items())
        path = self.folder / side.name
        paths = f'PYTHONPATH="$PYTHONPATH:{ROOT}"'
        path.write_text(f'#!/bin/sh\nexec env {paths} {words} {sys.executable} "$@"\n')
        path.chmod(0o755)

    def run(self, ask: Ask) -> Compared:
        return session.interleave(OLD, NEW, ask)

    @property
    def samples(self) -> list[list[str]]:
        """Who took each sample, in order: side, process, shape and case."""
        return [line.split() for line in self.log.read_text().splitlines()]

    def stored(self) -> list[schema.Run]:
        return [schema.load(path) for path in sorted(self.results.glob("*.json"))]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    probe = tmp_path / "probe"
    probe.mkdir()
    shutil.copyfile(Path(__file__).with_name("fake_probe.py"), probe / "__main__.py")
    made = Bench(tmp_path)
    monkeypatch.setattr(container, "PROBE", probe)
    monkeypatch.setattr(results, "BENCH", made.results)
    monkeypatch.setattr(session, "SETTLE_S", 0.0)
    # These locks say no more than which Python is theirs.
    monkeypatch.setattr(locks, "installed", lambda side: tmp_path / side.name)
    monkeypatch.setattr(results, "differing", lambda *_: iter(["torch 1 -> 2"]))
    return made


ASK = Ask("unet", budget_s=60.0, seed=7)


def verdicts(found: Compared) -> dict[str, str]:
    return {change.before.id: change.found.verdict for change in found.changes}


def test_a_change_is_found_in_every_case_that_both_have(bench: Bench) -> None:
    bench.python(OLD, 1.0)
    bench.python(NEW, 1.1, NO_XFORMERS="1")
    found = bench.run(ASK)
    shapes = ("unet/small/float32", "unet/large/float32")
    assert verdicts(found) == {f"{shape}/sdp": "SLOWER" for shape in shapes}
    assert found.changes[0].found.ratio == pytest.approx(1.1)
    assert set(found.missing) == {
        f"{shape}/xformers: unavailable in the run after: no xformers" for shape in shapes
    }
    assert found.differences == ("torch 1 -> 2",)


def test_one_process_measures_at_a_time_and_takes_a_whole_round(bench: Bench) -> None:
    bench.python(OLD, 1.0)
    bench.python(NEW, 1.0)
    bench.run(ASK)
    turns = [
        (key, len(list(group))) for key, group in groupby(bench.samples, lambda line: line[:3])
    ]
    # Two turns of one process follow each other where the drawn orders meet, and never three.
    assert {count for _, count in turns} == {3, 6}
    by_shape = [list(group) for _, group in groupby(turns, lambda turn: turn[0][2])]
    assert len(by_shape) == 2 * LEAST_PAIRS
    for group in by_shape:
        for name in (OLD.name, NEW.name):
            assert sum(n for key, n in group if key[0] == name) == 3 * session.ROUNDS


def test_every_pair_has_processes_of_its_own(bench: Bench) -> None:
    bench.python(OLD, 1.0)
    bench.python(NEW, 1.0)
    bench.run(ASK)
    processes = {(side, number) for side, number, *_ in bench.samples}
    assert len(processes) == 2 * LEAST_PAIRS


def test_the_same_seed_gives_the_same_order_and_another_one_another(bench: Bench) -> None:
    bench.python(OLD, 1.0)
    bench.python(NEW, 1.0)
    seen = []
    for seed in (7, 7, 8):
        bench.run(Ask("unet", budget_s=60.0, seed=seed))
        seen.append([(side, case) for side, _, _, case in bench.samples])
        bench.log.unlink()
    assert seen[0] == seen[1] != seen[2]


def test_both_runs_are_result_files_of_their_own(bench: Bench) -> None:
    bench.python(OLD, 1.0)
    bench.python(NEW, 1.1)
    bench.run(ASK)
    runs = {run.lock_sha256: run for run in bench.stored()}
    assert set(runs) == {OLD.sha256, NEW.sha256}
    for run in runs.values():
        assert run.ran_in == "host"
        assert list(schema.contradictions(run)) == []
        for case in run.cases:
            assert len(case.samples_ns) == LEAST_PAIRS * session.ROUNDS
    notes = runs[NEW.sha256].notes
    assert notes == ("lock new", f"in turns with lock old: {LEAST_PAIRS} pairs of processes")


def test_only_the_cases_that_were_asked_for_get_a_verdict(bench: Bench) -> None:
    bench.python(OLD, 1.0)
    bench.python(NEW, 1.1)
    wanted, unknown = "unet/small/float32/sdp", "unet/small/float32/V1"
    found = bench.run(Ask("unet", 60.0, cases=frozenset({wanted, unknown})))
    assert verdicts(found) == {wanted: "SLOWER"}
    assert set(found.missing) == {f"{unknown}: not in the run {run}" for run in (BEFORE, AFTER)}


def test_a_probe_that_dies_ends_the_session_and_what_was_measured_is_kept(bench: Bench) -> None:
    bench.python(OLD, 1.0)
    bench.python(NEW, 1.0, DIE="large/float32")
    with pytest.raises(Failure) as failure:
        bench.run(ASK)
    said = failure.value.message
    assert "in the environment of new ended early, with 7." in said
    assert "no memory for this" in said
    for run in bench.stored():
        small = next(case for case in run.cases if case.id == "unet/small/float32/sdp")
        assert len(small.samples_ns) == session.ROUNDS
    assert alive(bench) == []


def test_a_budget_for_too_few_pairs_ends_early_and_concludes_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.python(OLD, 1.0)
    bench.python(NEW, 2.0)
    found = bench.run(Ask("unet", budget_s=0.01))
    assert found.changes == ()
    assert len(bench.stored()) == 0
    assert f"{LEAST_PAIRS} pairs of processes would take" in capsys.readouterr().err


def test_ctrl_c_ends_both_processes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.python(OLD, 1.0)
    bench.python(NEW, 1.0)
    pids: list[int] = []

    def interrupted(_: Paced) -> None:
        pids.extend(alive(bench))
        raise KeyboardInterrupt

    monkeypatch.setattr(Paced, "go", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.run(ASK)
    assert len(pids) == 2
    assert alive(bench) == []


def alive(bench: Bench) -> list[int]:
    """Processes that are of this session: the fake probe's environment names its log."""
    needle = f"LOG={bench.log}".encode()
    return list(_with(needle))


def _with(needle: bytes) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if needle in (path / "environ").read_bytes() and (path / "cmdline").read_bytes():
                yield int(path.name)
        except OSError:  # it has ended, or is another user's
            continue


def test_a_probe_that_hangs_is_stopped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.python(OLD, 1.0)
    hanging = bench.folder / NEW.name
    hanging.write_text("#!/bin/sh\nexec sleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(session, "GRACE_S", 0.5)
    streams: Streams = {BEFORE: [], AFTER: []}
    pythons = {name: bench.folder / side.name for name, side in ((BEFORE, OLD), (AFTER, NEW))}
    with pytest.raises(Failure, match=r"ended early, with -9|ended early, with 1"):
        session.measure(pythons, {BEFORE: OLD, AFTER: NEW}, Ask("unet", 0.5), streams)
    assert alive(bench) == []
