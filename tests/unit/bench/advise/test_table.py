"""The advice as a person reads it, and the command that prints it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from scripts.bench import __main__ as bench
from scripts.bench import schema
from scripts.bench.advise import auto, run, table
from scripts.bench.advise.advice import advised, against_sdp
from scripts.bench.advise.evidence import Evidence, gathered
from scripts.bench.options import parser
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load
from tests.support.advice import calls_run, gpu, step_run
from tests.support.results import run_of

CLEAR = {"sdp": 1.0, "xformers": 0.9, "sdp-no-mem": 0.95}


def printed(*runs: schema.Run) -> str:
    out = io.StringIO()
    for where, evidence in gathered(runs).items():
        table.show(where, [advised(each) for each in evidence], Console(file=out, width=300))
    return out.getvalue()


def with_peaks(found: schema.Run, **peaks: int) -> schema.Run:
    cases = [
        case.model_copy(update={"peak_bytes": peaks.get(case.requested)}) for case in found.cases
    ]
    return found.model_copy(update={"cases": tuple(cases)})


def test_a_row_has_option_certainty_memory_and_evidence() -> None:
    found = with_peaks(step_run(CLEAR, gpu=gpu("NVIDIA L4")), sdp=300_000_000, xformers=360_000_000)
    text = printed(found)
    assert "NVIDIA L4; torch 2.1.2, xformers not installed" in text
    (line,) = (line for line in text.splitlines() if "sd15-512" in line)
    assert "--xformers" in line
    assert line.count("FASTER") == 2
    assert "360 (1.20x)" in line
    assert "unet [1]" in line
    assert f"[1] run {found.run_id}" in text


def test_what_was_not_decided_is_marked_and_explained() -> None:
    text = printed(step_run({"sdp": 1.0, "xformers": 0.98}, noise=0.1))
    assert "--opt-sdp-attention (default)" in text
    assert "sd15-512 x1 float16 is the default: INCONCLUSIVE against sdp: xformers." in text


def test_scaled_evidence_and_single_calls_say_what_they_are() -> None:
    text = printed(calls_run({"": CLEAR}, most_scores=2**25))
    assert "sd15-512 (scaled)" in text
    assert "sd15-512 was scaled: sd15-512-self-4096-b1h2." in text
    assert "Evidence attn is of attention alone" in text


def evidence(found: schema.Run) -> Evidence:
    ((only,),) = gathered([found]).values()
    return only


def test_two_options_are_compared_by_the_rounds_that_both_were_in() -> None:
    found = table.against(evidence(step_run(CLEAR)), "xformers", "sdp-no-mem")
    assert found is not None
    assert found.verdict == "FASTER"
    assert found.low <= 0.9 / 0.95 <= found.high


def test_against_sdp_both_ways_give_one_verdict() -> None:
    each = evidence(step_run(CLEAR))
    forth, back = table.against(each, "xformers", "sdp"), table.against(each, "sdp", "xformers")
    assert forth == against_sdp(each)["xformers"]
    assert back is not None
    assert back.verdict == "SLOWER"
    assert back.value == pytest.approx(1 / 0.9, rel=0.01)


def test_options_that_shared_not_all_rounds_are_not_compared() -> None:
    found = step_run(CLEAR)
    short = [
        case.model_copy(update={"samples_ns": case.samples_ns[:5], "order": case.order[:5]})
        if case.requested == "xformers"
        else case
        for case in found.cases
    ]
    each = evidence(found.model_copy(update={"cases": tuple(short)}))
    assert table.against(each, "xformers", "sdp-no-mem") is None


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(auto, "BENCHMARKS", tmp_path / "benchmarks")
    monkeypatch.setattr(run, "BENCH", tmp_path / "bench")
    return tmp_path


def advise(*arguments: str) -> int:
    return bench.main(parser().parse_args(["--advise", *arguments]))


def test_committed_and_local_runs_are_advised_by_and_what_auto_takes_is_told(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema.save(step_run(CLEAR, run_id="here"), folders / "bench" / "here.json")
    kept = step_run(CLEAR, run_id="kept", gpu=gpu("NVIDIA L4"))
    schema.save(kept, folders / "benchmarks" / "l4" / "runs" / "kept.json")
    schema.save(kept, folders / "bench" / "kept.json")
    (folders / "bench" / "old.json").write_text("{}")
    assert advise() == 0
    out, err = capsys.readouterr()
    assert out.count("run kept") == out.count("run here") == 1
    assert "old.json is left out" in err
    for name in load().profiles:
        assert f'{name}: attention = "auto" is --opt-sdp-attention (no committed result' in out


def test_advice_may_be_had_of_chosen_runs_alone(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema.save(step_run(CLEAR, run_id="here"), folders / "bench" / "here.json")
    file = folders / "other.json"
    schema.save(step_run(CLEAR, run_id="other"), file)
    assert advise("--of", str(file)) == 0
    assert "run here" not in capsys.readouterr().out


def test_without_results_there_is_no_advice(folders: Path) -> None:
    with pytest.raises(BadInput, match="no run is stored"):
        advise()
    schema.save(run_of(run_id="empty"), folders / "bench" / "empty.json")
    with pytest.raises(BadInput, match="none of 1 runs measured attention"):
        advise()


@pytest.mark.parametrize(
    "more", [("--suite", "attn"), ("--quick",), ("--export", "bencher=-"), ("--record",)]
)
def test_advice_measures_nothing(more: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="--advise measures nothing"):
        advise(*more)
