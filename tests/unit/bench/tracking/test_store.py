"""Recorded runs: where they are, that they are read as they were written, and how they merge."""

import importlib
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import schema
from scripts.bench.tracking import HERE, machine, store
from scripts.bench.tracking.record import record
from scripts.workspace.errors import BadInput
from scripts.workspace.model import MeasuredSuite
from scripts.workspace.paths import ROOT
from tests.support.histories import SDP, timed_run
from tests.support.results import IN_HOST, case_of, runs

BY_SUITE: st.SearchStrategy[dict[MeasuredSuite, str]] = st.dictionaries(
    st.sampled_from(get_args(MeasuredSuite)), st.from_regex(store.RUN_ID, fullmatch=True)
)
BASELINES: st.SearchStrategy[dict[schema.Place, dict[MeasuredSuite, str]]] = st.fixed_dictionaries(
    {"image": BY_SUITE, "host": BY_SUITE}
)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("AMD EPYC, 2 cores", "amd-epyc-2-cores"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
        (
            "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz, 8 cores",
            "intel-xeon-platinum-8481c-cpu-2-70ghz-8-cores",
        ),
    ],
)
def test_a_device_is_a_folder_by_the_name_of_gpu_or_processor(words: str, name: str) -> None:
    assert store.slug(words) == name


@given(st.text())
def test_a_folder_has_a_plain_name_whatever_a_device_is_called(words: str) -> None:
    name = store.slug(words)
    assert name.strip("-") == name != ""
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert store.slug(name) == name


@given(runs())
def test_what_cannot_be_the_name_of_a_file_is_never_one(run: schema.Run) -> None:
    device = store.device_of(run, Path("benchmarks"))
    try:
        path = device.path(run.run_id)
    except BadInput:
        assert not store.RUN_ID.fullmatch(run.run_id)
    else:
        assert path.parent == device.folder / "runs"


@given(BASELINES)
def test_baselines_are_read_as_they_were_written(
    baseline: dict[schema.Place, dict[MeasuredSuite, str]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        device = store.Device(Path(folder))
        device.baselines.write_text(store.baseline_text(baseline))
        assert device.baseline == baseline


@pytest.mark.parametrize("place", ["image", "host"])
def test_branches_that_move_the_baselines_of_two_suites_merge(
    place: schema.Place, tmp_path: Path
) -> None:
    base: dict[MeasuredSuite, str] = {"attn": "a", "unet": "u", "vae": "v"}
    sides = {"ours": {**base, "attn": "new"}, "base": base, "theirs": {**base, "unet": "new"}}
    for name, each in sides.items():
        (tmp_path / name).write_text(store.baseline_text({place: each}))
    subprocess.run(["git", "merge-file", *sides], cwd=tmp_path, check=True)
    merged = (tmp_path / "ours").read_text()
    assert merged == store.baseline_text({place: {"attn": "new", "unet": "new", "vae": "v"}})


def test_a_file_of_before_places_is_of_the_image_and_written_as_it_was(tmp_path: Path) -> None:
    path = next((ROOT / "benchmarks").glob("*/baseline.toml"))
    device = store.Device(path.parent)
    assert device.baseline["image"]
    assert device.baseline["host"] == {}
    assert store.baseline_text(device.baseline) == path.read_text()


def test_image_and_host_have_baselines_of_their_own(tmp_path: Path) -> None:
    device, _ = record(timed_run(1), tmp_path)
    record(timed_run(2, **IN_HOST), tmp_path)
    record(timed_run(3), tmp_path)
    assert device.baseline == {"image": {"attn": "run-01"}, "host": {"attn": "run-02"}}
    record(timed_run(4, **IN_HOST), tmp_path, ["attn"])
    assert device.baseline == {"image": {"attn": "run-01"}, "host": {"attn": "run-04"}}


@pytest.mark.parametrize(
    "text", ["attn = 1\n", 'atn = "run"\n', "attn = \n", "[attn]\n", "host = 1\n"]
)
def test_a_file_of_baselines_that_says_something_else_is_refused(text: str, tmp_path: Path) -> None:
    device = store.Device(tmp_path)
    device.baselines.write_text(text)
    with pytest.raises(BadInput, match=r"baseline\.toml: "):
        _ = device.baseline


def test_runs_are_read_back_the_oldest_first(tmp_path: Path) -> None:
    days = [timed_run(day) for day in (3, 1, 2)]
    for run in days:
        record(run, tmp_path)
    (device,) = store.devices(tmp_path)
    assert device.name == "a-cpu-2-cores"
    assert device.runs() == [timed_run(day) for day in (1, 2, 3)]


def test_a_run_of_another_device_or_name_is_refused(tmp_path: Path) -> None:
    run = timed_run()
    device = store.Device(tmp_path / "another")
    schema.save(run, device.path(run.run_id))
    with pytest.raises(BadInput, match="is of another device: a CPU, 2 cores"):
        device.runs()
    device.path(run.run_id).rename(device.path("renamed"))
    with pytest.raises(BadInput, match=f"holds the run {run.run_id}"):
        device.runs()


def test_a_recorded_run_that_was_edited_is_refused(tmp_path: Path) -> None:
    device, _ = record(timed_run(), tmp_path)
    path = device.path(timed_run().run_id)
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(BadInput, match="was changed after it was written"):
        device.runs()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of PATH, in which there is nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_machine_without_gpu_is_what_the_probe_calls_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe itself tells; it needs torch to be imported, and not to look at the processor."""
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    probe = importlib.import_module("scripts.bench.probe.device")
    run = timed_run(host=schema.Host.model_validate(probe.host()))
    assert machine.here(path) == store.device_of(run, path)


@pytest.mark.parametrize(
    ("answer", "is_gpu"),
    [("echo 'NVIDIA H100 80GB HBM3'", True), ("echo 'no devices were found'; exit 6", False)],
)
def test_a_machine_with_a_gpu_goes_by_its_name(answer: str, is_gpu: bool, path: Path) -> None:
    driver = path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\n{answer}\n")
    driver.chmod(0o755)
    assert (machine.here(path).name == "nvidia-h100-80gb-hbm3") == is_gpu


def test_a_device_without_runs_is_answered_with_those_that_have_some(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no device"):
        machine.named(HERE, tmp_path)
    record(timed_run(), tmp_path)
    assert machine.named("a-cpu-2-cores", tmp_path) == store.Device(tmp_path / "a-cpu-2-cores")
    with pytest.raises(BadInput, match=r"no run of h100 is recorded.*runs of: a-cpu-2-cores"):
        machine.named("h100", tmp_path)


def test_every_branch_of_a_first_record_keeps_its_run(tmp_path: Path) -> None:
    """A run is a file of its own; only what a later one adds is written."""
    _, first = record(timed_run(1), tmp_path)
    assert sorted(path.name for path in first) == ["baseline.toml", "run-01.json"]
    _, second = record(timed_run(2), tmp_path)
    assert [path.name for path in second] == ["run-02.json"]
    assert record(timed_run(2), tmp_path)[1] == []


def test_a_run_becomes_the_baseline_of_suites_that_have_none(tmp_path: Path) -> None:
    unet = "unet/x/float32/sdp"
    record(timed_run(1), tmp_path)
    device, _ = record(timed_run(2, {SDP: 10, unet: 200}), tmp_path)
    assert device.baseline["image"] == {"attn": "run-01", "unet": "run-02"}
    device, _ = record(timed_run(3), tmp_path, ["attn"])
    assert device.baseline["image"] == {"attn": "run-03", "unet": "run-02"}


def test_a_suite_of_which_nothing_was_timed_has_no_baseline(tmp_path: Path) -> None:
    lost = case_of("unet/x/float32/sdp", suite="unet")
    run = timed_run()
    device, _ = record(run.model_copy(update={"cases": (*run.cases, lost)}), tmp_path)
    assert device.baseline["image"] == {"attn": run.run_id}


def test_a_suite_of_too_few_rounds_to_conclude_anything_has_no_baseline(tmp_path: Path) -> None:
    few = case_of("unet/x/float32/sdp", *[10**7] * 5, suite="unet")
    run = timed_run()
    run = run.model_copy(update={"cases": (*run.cases, few)})
    device, _ = record(run, tmp_path)
    assert device.baseline["image"] == {"attn": run.run_id}
    assert device.runs() == [run]


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (timed_run(argv=("--suite", "attn", "--quick")), r"was a glance \(--quick\)"),
        (timed_run().model_copy(update={"cases": (case_of("attn/a"),)}), "timed no case"),
        (timed_run(run_id="../up"), "cannot be the id of a recorded run"),
    ],
)
def test_what_others_cannot_be_held_against_is_not_recorded(
    run: schema.Run, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=said):
        record(run, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_folder_of_whoever_measured_is_recorded(tmp_path: Path) -> None:
    argv = ("--in", "host", "--python", "/home/me/bin/python", "--export", "otava=/home/me/a.csv")
    device, _ = record(timed_run(argv=argv), tmp_path)
    (run,) = device.runs()
    assert run.argv == ("--in", "host", "--python", "python", "--export", "otava=a.csv")
    assert record(timed_run(argv=argv), tmp_path)[1] == []


def test_another_run_of_an_id_that_is_recorded_is_refused(tmp_path: Path) -> None:
    record(timed_run(1), tmp_path)
    with pytest.raises(BadInput, match="holds another run of that id"):
        record(timed_run(2, run_id="run-01"), tmp_path)
