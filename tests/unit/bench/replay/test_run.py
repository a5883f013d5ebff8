"""The suite from its options to its files, on a fake of the resolver."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.bench.replay import history
from scripts.bench.replay import run as replay
from scripts.lock.lockfile import Lockfile
from scripts.lock.resolve import Job
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import Workspace, load

PACKAGES = {
    "webui": ("torch", "nvidia-nvjitlink-cu12", "numpy", "llvmlite"),
    "worker": ("runpod", "numpy"),
}
[LAST] = history.month_ends(load().lock.as_of, 0)
FILES = ["locks.csv", "optimizer.csv", "packages.csv", "pulls.csv", "pulls.png"]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Every job that a fake of compile_all was given; each package moves every month."""
    jobs: list[Job] = []

    def compile_all(given: Sequence[Job], workspace: Workspace, *, history: bool) -> list[Lockfile]:
        jobs.extend(given)
        day = workspace.lock.as_of
        [job] = given
        body = "".join(
            f"{name}=={day:%Y.%m} \\\n    --hash=sha256:aa\n"
            f"    # file {name}-{day}.whl {1000 * (place + 1)} bytes {day}\n"
            for place, name in enumerate(PACKAGES[job.target.environment])
        )
        return [Lockfile(job.path, job.inputs, body)]

    monkeypatch.setattr(history, "compile_all", compile_all)
    monkeypatch.setattr(history, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(replay, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(replay, "BENCH", tmp_path / "bench")
    monkeypatch.setattr(replay, "RECORDS", tmp_path / "benchmarks")
    return jobs


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def test_the_results_are_recorded_only_when_asked(asked: list[Job], tmp_path: Path) -> None:
    replay.run(load(), "runpod", [], record=False)
    found = written(tmp_path / "bench" / "replay" / "runpod")
    assert list(found) == FILES
    assert not (tmp_path / "benchmarks").exists()
    replay.run(load(), "runpod", [], record=True)
    assert written(tmp_path / "benchmarks" / "runpod") == found


def test_only_the_targets_that_ask_for_a_package_are_locked_without_it(
    asked: list[Job], tmp_path: Path
) -> None:
    replay.run(load(), "runpod", ["nvidia-nvjitlink-cu12"], record=False)
    months = replay.BUMPS + 1
    environments = [job.target.environment for job in asked]
    assert environments == ["webui"] * months + ["worker"] * months + ["webui"] * months
    locks = (tmp_path / "bench" / "replay" / "runpod" / "locks.csv").read_text().splitlines()
    assert len(locks) == 1 + 3 * months


def test_a_package_is_free_only_where_its_requirement_is_left_out(
    asked: list[Job], tmp_path: Path
) -> None:
    replay.run(load(), "runpod", ["nvidia-nvjitlink-cu12"], record=False)
    packages = (tmp_path / "bench" / "replay" / "runpod" / "packages.csv").read_text()
    pinned = {
        (row["without"], row["package"]): row["pinned"]
        for row in csv.DictReader(packages.splitlines())
        if row["environment"] == "webui"
    }
    assert pinned["", "nvidia-nvjitlink-cu12"] == "True"
    assert pinned["nvidia-nvjitlink-cu12", "nvidia-nvjitlink-cu12"] == "False"
    assert pinned["", "numpy"] == pinned["nvidia-nvjitlink-cu12", "numpy"] == "True"


def test_a_package_that_no_in_file_names_is_refused_before_anything_is_asked(
    asked: list[Job],
) -> None:
    with pytest.raises(BadInput, match=r"no .in file names numpi. Did you mean numpy\?"):
        replay.run(load(), "runpod", ["numpi"], record=False)
    assert asked == []


def test_elsewhere_than_on_a_terminal_each_month_that_is_new_is_a_line(
    asked: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    replay.run(load(), "sandbox", [], record=False)
    first = capsys.readouterr()
    assert f"replay: webui-cu121-py3.11 {LAST}: 4 packages\n" in first.err
    assert first.err.count(": 2 packages\n") == replay.BUMPS + 1
    assert "replay sandbox, as it is now" in first.out
    replay.run(load(), "sandbox", [], record=False)
    again = capsys.readouterr()
    assert again.out == first.out
    assert " packages\n" not in again.err


def test_lower_bounds_are_said_to_be_lifted_together_where_one_could_not_be_met(
    asked: list[Job], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(given: Sequence[Job], workspace: Workspace, *, history: bool) -> list[Lockfile]:
        if "runpod>=" in "".join(path.read_text() for path in given[0].files):
            raise BadInput("No solution found: there is no such runpod yet")
        [job] = given
        day = workspace.lock.as_of
        body = f"runpod==1 \\\n    --hash=sha256:aa\n    # file runpod-{day}.whl 1000 bytes {day}\n"
        return [Lockfile(job.path, job.inputs, body)]

    monkeypatch.setattr(history, "compile_all", refuse)
    replay.run(load(), "runpod", [], record=False)
    said = capsys.readouterr().err
    assert (
        f"to {LAST}: {replay.BUMPS + 1} months without the lower bounds of runpod>=1.12, " in said
    )
    assert "pydantic>=2, which could not all be met then." in said


def test_a_past_without_locks_is_a_failure_after_the_reasons(
    asked: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def refuse(*_: object, **__: object) -> list[Lockfile]:
        raise BadInput("numpy is not to be had.")

    monkeypatch.setattr(history, "compile_all", refuse)
    with pytest.raises(Failure, match="no two months could be locked"):
        replay.run(load(), "runpod", [], record=True)
    said = f"{LAST} is left out, because worker-py3.10 has no lock: numpy is not to be had."
    assert said in capsys.readouterr().err
    assert not (tmp_path / "bench").exists()
