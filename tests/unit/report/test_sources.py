"""What the report reads: committed results before local ones, and nothing that was changed."""

import json
from pathlib import Path

from scripts.bench import schema
from scripts.report.sources import Sources, read
from tests.support.reports import BUILD, folders, gpu_run

EMPTY = Sources(runs={}, changes=(), builds={}, rebuilds={}, pulls={}, rates=(), problems=())


def test_all_that_is_there_is_read_the_oldest_run_first(tmp_path: Path) -> None:
    found = read(*folders(tmp_path))
    [(device, runs)] = found.runs.items()
    assert device == "NVIDIA Madeup 9000"
    assert [taken.run.utc[8:10] for taken in runs] == ["01", "02", "03", "04", "05", "06", "07"]
    assert [taken.recorded for taken in runs] == [True] * 6 + [False]
    assert found.changes[0].because == ("torch 2.1.2 -> 2.8.0",)
    assert found.builds == {"sandbox": BUILD}
    assert found.rebuilds["sandbox"]
    assert found.pulls["runpod"]
    assert found.rates
    assert found.problems == ()


def test_a_machine_without_results_gives_nothing_and_no_problem(tmp_path: Path) -> None:
    assert read(tmp_path / "benchmarks", tmp_path / "workspace") == EMPTY


def test_a_run_that_was_recorded_counts_once(tmp_path: Path) -> None:
    run = gpu_run(0)
    for path in ("benchmarks/gpu/runs", "workspace/bench"):
        schema.save(run, tmp_path / path / f"{run.run_id}.json")
    found = read(tmp_path / "benchmarks", tmp_path / "workspace")
    assert [(taken.run, taken.recorded) for taken in found.runs["NVIDIA Madeup 9000"]] == [
        (run, True)
    ]


def test_a_result_that_was_changed_is_left_out_and_named(tmp_path: Path) -> None:
    benchmarks, workspace = folders(tmp_path)
    path = next((workspace / "bench").glob("*.json"))
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    found = read(benchmarks, workspace)
    assert len(found.runs["NVIDIA Madeup 9000"]) == 6
    [problem] = found.problems
    assert path.name in problem
    assert "was changed after it was written" in problem


def test_other_files_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    benchmarks, workspace = folders(tmp_path)
    rates = benchmarks / "verdicts" / "rates.csv"
    rates.write_text(rates.read_text().replace("400", "many", 1))
    (benchmarks / "nvidia-madeup-9000" / "changes.json").write_text(
        json.dumps({"schema": 2, "changes": []})
    )
    (workspace / "builds" / "sandbox" / "latest.json").write_text("{")
    found = read(benchmarks, workspace)
    assert found.rates == ()
    assert found.changes == ()
    assert found.builds == {}
    assert found.pulls["runpod"]
    said = "\n".join(found.problems)
    assert len(found.problems) == 3
    assert "rates.csv cannot be read: sessions" in said
    assert "changes.json cannot be read: schema" in said
    assert "latest.json cannot be read" in said
