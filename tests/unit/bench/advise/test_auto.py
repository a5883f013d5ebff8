"""What attention = "auto" comes to, from committed results that are made up."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import schema
from scripts.bench.advise import auto
from scripts.build import launch
from scripts.lock import facts, hub
from scripts.lock.lockfile import locked
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Attention, Workspace, load
from scripts.workspace.paths import ROOT
from tests.support.advice import calls_run, gpu, software, step_run

XFORMERS = {"sdp": 1.0, "xformers": 0.9, "sdp-no-mem": 0.95}
SDP = {"sdp": 1.0, "xformers": 1.1, "sdp-no-mem": 1.0}
VERSIONS = {pin.name: pin.version for pin in locked("webui-cu121-py3.10")}
LOCKED = software(VERSIONS["torch"] + "+cu121", VERSIONS["xformers"])
POOLS = hub.read(ROOT / ".runpod/hub.json", facts.load()).gpus.values()
GPUS = [each for pool in POOLS for each in pool]


def workspace(profile: str, attention: Attention = "auto") -> Workspace:
    read = load()
    asking = read.profile(profile).model_copy(update={"attention": attention})
    return read.model_copy(update={"profiles": {profile: asking}})


def chosen(profile: str, *runs: schema.Run) -> auto.Chosen:
    return auto.chosen(load().profile(profile), VERSIONS, runs)


def on(name: str, *runs: schema.Run) -> list[schema.Run]:
    """The runs as if taken on a GPU with the locked versions."""
    changes = {"gpu": gpu(name), "sw": LOCKED}
    return [run.model_copy(update={**changes, "run_id": f"{name} {run.run_id}"}) for run in runs]


def everywhere(*runs: schema.Run) -> list[schema.Run]:
    return [each for name in GPUS for each in on(name, *runs)]


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(auto, "BENCHMARKS", tmp_path)
    return tmp_path


def commit(folder: Path, runs: Sequence[schema.Run]) -> None:
    for number, run in enumerate(runs):
        named = run.model_copy(update={"run_id": f"run-{number}"})
        schema.save(named, folder / f"device-{number}" / "runs" / f"run-{number}.json")


def test_committed_results_of_all_its_gpus_reach_the_launch_options_of_the_deployed_image(
    benchmarks: Path,
) -> None:
    commit(benchmarks, everywhere(step_run(XFORMERS)))
    argv = json.loads(launch.render(workspace("runpod"), "runpod"))["argv"]
    assert {"--xformers", "--opt-sdp-attention"} <= set(argv)
    found = auto.resolved(workspace("runpod"), "runpod")
    assert all(f"run-{number}" in found.told() for number in range(len(GPUS)))
    assert found.told().startswith("xformers, because: ")


def test_without_committed_results_the_image_starts_with_sdp_and_says_why(
    benchmarks: Path,
) -> None:
    argv = json.loads(launch.render(workspace("runpod"), "runpod"))["argv"]
    assert "--opt-sdp-attention" in argv
    assert "--xformers" not in argv
    reason = auto.resolved(workspace("runpod"), "runpod").reason
    assert reason.startswith(
        f"no committed result of {', '.join(GPUS)} with torch {VERSIONS['torch']}"
    )


def test_an_option_that_a_person_wrote_is_taken_whatever_was_measured(benchmarks: Path) -> None:
    commit(benchmarks, everywhere(step_run(XFORMERS)))
    found = auto.resolved(workspace("runpod", "sub-quad"), "runpod")
    assert (found.option, found.told()) == ("sub-quad", "")


def test_a_result_that_was_changed_is_refused(benchmarks: Path) -> None:
    commit(benchmarks, on(GPUS[0], step_run(SDP)))
    (file,) = benchmarks.glob("*/runs/*.json")
    file.write_text(file.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(BadInput, match="was changed after it was written"):
        launch.render(workspace("runpod"), "runpod")


def test_one_gpu_without_results_is_named_and_leaves_the_default() -> None:
    first, *rest = GPUS
    found = chosen("runpod", *(run for name in rest for run in on(name, step_run(XFORMERS))))
    assert found.option == "sdp"
    assert found.reason.startswith(f"no committed result of {first} with")


@pytest.mark.parametrize(
    "other", [software("2.8.0", VERSIONS["xformers"]), software(VERSIONS["torch"], None)]
)
def test_results_of_other_versions_do_not_count(other: schema.Software) -> None:
    runs = [run.model_copy(update={"sw": other}) for run in everywhere(step_run(XFORMERS))]
    assert chosen("runpod", *runs).reason.startswith("no committed result")


def test_gpus_that_speak_for_different_options_leave_the_default() -> None:
    first, *rest = GPUS
    runs = on(first, step_run(SDP))
    runs += [run for name in rest for run in on(name, step_run(XFORMERS))]
    found = chosen("runpod", *runs)
    assert found.option == "sdp"
    assert found.reason.startswith("its devices do not agree")


def test_a_slice_of_a_gpu_is_another_device() -> None:
    runs = [
        run.model_copy(update={"gpu": gpu(run.gpu.name if run.gpu else "", mig="Enabled")})
        for run in everywhere(step_run(XFORMERS))
    ]
    assert chosen("runpod", *runs).reason.startswith("no committed result")


@pytest.mark.parametrize(
    ("elsewhere", "option"), [(0.9, "xformers"), (1.0, "xformers"), (1.1, "sdp-no-mem")]
)
def test_an_option_must_not_be_slower_at_another_size(elsewhere: float, option: str) -> None:
    other = step_run({"sdp": 1.0, "xformers": elsewhere, "sdp-no-mem": 1.0}, "sdxl-1024")
    assert chosen("runpod", *everywhere(step_run(XFORMERS), other)).option == option


def test_an_option_must_not_be_open_at_another_size() -> None:
    other = step_run({"sdp": 1.0, "xformers": 0.98}, "sdxl-1024", noise=0.1)
    assert chosen("runpod", *everywhere(step_run(XFORMERS), other)).option == "sdp"


def test_of_several_options_the_one_that_gains_most_over_all_sizes_is_taken() -> None:
    small = step_run({"sdp": 1.0, "xformers": 0.9, "sdp-no-mem": 0.85})
    large = step_run({"sdp": 1.0, "xformers": 0.5, "sdp-no-mem": 0.8}, "sdxl-1024")
    assert chosen("runpod", *everywhere(small, large)).option == "xformers"


def test_whole_networks_decide_where_there_are_any() -> None:
    network, calls = step_run(SDP), calls_run({"": XFORMERS}, images=4)
    assert chosen("runpod", *everywhere(network, calls)).option == "sdp"
    alone = chosen("runpod", *everywhere(calls))
    assert alone.option == "xformers"
    assert "attn (attention alone) of sd15-512 x4 float16" in alone.reason


def test_the_sandbox_takes_what_processors_speak_for_in_its_own_type() -> None:
    better = {"sdp": 1.0, "InvokeAI": 0.8}
    narrow = step_run(better, "div8", dtype="float32", scaled="heads", sw=LOCKED, run_id="on-a-cpu")
    halves = step_run({"sdp": 1.0, "InvokeAI": 1.5}, sw=LOCKED)
    found = chosen("sandbox", narrow, halves, *everywhere(step_run(XFORMERS)))
    assert found.option == "split-invokeai"
    assert found.reason.startswith(
        "a CPU, 2 cores: unet of div8 x1 float32 (scaled) in run on-a-cpu:"
    )


def test_where_nothing_is_faster_the_run_that_says_so_is_the_reason() -> None:
    slow = {"sdp": 1.0, "InvokeAI": 1.5, "sdp-no-mem": 1.0}
    found = chosen("sandbox", step_run(slow, dtype="float32", sw=LOCKED, run_id="said-so"))
    assert found.option == "sdp"
    assert found.reason.endswith("in run said-so: nothing is FASTER than sdp")


def test_a_profile_that_names_no_device_has_the_default() -> None:
    profile = load().profile("runpod").model_copy(update={"hub": None})
    found = auto.chosen(profile, VERSIONS, everywhere(step_run(XFORMERS)))
    assert found.reason == "the profile names no device, by hub or --use-cpu"


MIXED = [
    *everywhere(step_run(XFORMERS), step_run({"sdp": 1.0, "xformers": 0.99}, "sdxl-1024")),
    *everywhere(calls_run({"": SDP}, utc="2026-01-03T00:00:00Z")),
]


@given(st.permutations(MIXED))
def test_the_order_of_the_files_is_of_no_account(runs: list[schema.Run]) -> None:
    assert chosen("runpod", *runs) == chosen("runpod", *MIXED)
