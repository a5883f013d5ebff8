"""`bench -- --record`, `--gate` and `--history` as a person starts them, on stored runs."""

import json
import shutil
from pathlib import Path

import pytest

from scripts.bench import __main__ as bench
from scripts.bench import host, packages, schema
from scripts.bench.options import parser
from scripts.bench.tracking import machine, store
from scripts.bench.tracking import run as tracking
from scripts.bench.tracking.record import record
from scripts.workspace.errors import BadInput
from scripts.workspace.paths import ROOT
from tests.support.commands import Done, command
from tests.support.histories import NEW, OLD, SDP, V1, digest, lock_texts, timed_run
from tests.support.repositories import commit, git
from tests.support.results import IN_HOST


class Clone:
    """The programs of this checkout in a repository of its own, without recorded runs."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        for name in ("scripts", "docker"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in (".runpod", "requirements"):
            shutil.copytree(ROOT / name, folder / name)
        shutil.copy(ROOT / "workspace.toml", folder)
        git(folder, "init", "--quiet")

    def lock(self, torch: str) -> str:
        """Commit locks with that torch; return their digest."""
        texts = lock_texts(torch)
        for name, text in texts.items():
            path = self.root / "lockfiles" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        git(self.root, "add", "lockfiles")
        commit(self.root, "lock")
        return digest(texts)

    def stored(self, run: schema.Run) -> Path:
        path = self.root / f"{run.run_id}.json"
        schema.save(run, path)
        return path

    def bench(self, *arguments: str | Path) -> Done:
        return command("bench", *map(str, arguments), root=self.root)

    @property
    def device(self) -> store.Device:
        return store.Device(self.root / "benchmarks" / "a-cpu-2-cores")


GPU = schema.Gpu(
    name="MARS",
    capability="9.0",
    uuid_hash=None,
    driver=None,
    power_limit=None,
    clocks_max=None,
    mig=None,
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


def test_a_run_is_recorded_judged_replaced_and_shown(clone: Clone) -> None:
    """One walk through all of it, because each start of the program takes seconds."""
    before = timed_run(0, lock_sha256=clone.lock(OLD))
    done = clone.bench("--of", clone.stored(before), "--record")
    assert done.returncode == 0, done.stderr
    folder = "benchmarks/a-cpu-2-cores"
    for said in (
        f"wrote {folder}/runs/run-00.json",
        f"wrote {folder}/baseline.toml",
        f"wrote {folder}/changes.json",
        f"git add {folder}",
        "is the baseline of attn",
    ):
        assert said in done.stderr
    assert clone.device.runs() == [before]
    assert json.loads(clone.device.changes.read_text()) == {"schema": 1, "changes": []}

    lock = clone.lock(NEW)
    faster = timed_run(3, {SDP: 5, V1: 30}, NEW, lock_sha256=lock)
    done = clone.bench("--of", clone.stored(faster), "--gate")
    assert done.returncode == 0, done.stderr
    assert "Baseline run-00 of attn" in done.stdout
    assert clone.device.baseline["image"] == {"attn": "run-03"}

    lost = timed_run(2, {SDP: 20, V1: 30}, NEW, lock_sha256="5" * 64)
    done = clone.bench("--of", clone.stored(lost), "--gate")
    assert done.returncode == 4
    assert "SLOWER" in done.stdout
    assert "lockfiles of the new run (555555555555) are not in git's history" in done.stderr

    done = clone.bench("--history", "a-cpu-2-cores")
    assert done.returncode == 0, done.stderr
    assert "a-cpu-2-cores: 2 runs" in done.stdout
    assert SDP in done.stdout
    assert "is not what the runs give" not in done.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty benchmarks/."""
    monkeypatch.setattr(tracking, "BENCHMARKS", tmp_path)
    return tmp_path


def bench_here(*arguments: str | Path) -> int:
    return bench.main(parser().parse_args([str(each) for each in arguments]))


def test_a_stale_file_of_changes_is_told_and_renewed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device, _ = record(timed_run(), here)
    assert bench_here("--history", device.name) == 0
    assert "--history --record" in capsys.readouterr().err
    assert not device.changes.exists()
    assert bench_here("--history", device.name, "--record") == 0
    assert device.changes.exists()


def test_a_glance_is_not_recorded(here: Path, tmp_path: Path) -> None:
    path = tmp_path / "quick.json"
    schema.save(timed_run(argv=("--quick",)), path)
    with pytest.raises(BadInput, match=r"a glance \(--quick\)"):
        bench_here("--of", path, "--record")


def test_a_gate_takes_one_run_and_records_by_itself(here: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    schema.save(timed_run(), path)
    for arguments in (("--of", path, path, "--gate"), ("--of", path, "--gate", "--record")):
        with pytest.raises(BadInput, match="--gate takes one run, and records it by itself"):
            bench_here(*arguments)


def test_a_machine_without_baseline_is_told_which_have_one_before_it_measures(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("the image was asked for")

    monkeypatch.setattr(bench, "built", asked)
    run = timed_run(gpu=GPU)
    record(run, here)
    with pytest.raises(BadInput, match=r"no run of .* is recorded. There are runs of: mars"):
        bench_here("--gate")


def test_a_gate_measures_the_suites_of_the_baseline_where_it_was_measured(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(timed_run(**IN_HOST, host=_this_host()), here)

    def interpreter(given: str | None) -> Path:
        raise BadInput(f"asked for {given}")

    monkeypatch.setattr(host, "interpreter", interpreter)
    monkeypatch.setattr(machine, "_gpu", lambda: None)
    with pytest.raises(BadInput, match="asked for /some/python"):
        bench_here("--gate", "--python", "/some/python")


def test_a_baseline_of_the_image_is_not_measured_elsewhere(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(timed_run(host=_this_host()), here)
    monkeypatch.setattr(machine, "_gpu", lambda: None)
    with pytest.raises(BadInput, match="no baseline in the host; it has of attn in the image"):
        bench_here("--gate", "--in", "host")


def test_a_gate_asks_for_the_image_before_it_installs_packages(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(*_: object) -> None:
        raise AssertionError("packages were installed")

    def built(profile: str) -> None:
        raise BadInput(f"the image of {profile} is not built.")

    record(timed_run(0, {"unet/x/float32/sdp": 200}, host=_this_host()), here)
    monkeypatch.setattr(machine, "_gpu", lambda: None)
    monkeypatch.setattr(packages, "installed", installed)
    monkeypatch.setattr(bench, "built", built)
    with pytest.raises(BadInput, match="the image of sandbox is not built"):
        bench_here("--gate")


def test_a_record_of_the_host_says_what_a_gate_will_find_by_it(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for changes, is_said in (({}, False), (IN_HOST, True)):
        path = tmp_path / "run.json"
        schema.save(timed_run(len(changes), **changes), path)
        assert bench_here("--of", path, "--record") == 0
        said = capsys.readouterr().err
        assert ("--gate finds suspicions (exit code 4), and confirms none" in said) == is_said


def _this_host() -> schema.Host:
    """As the probe would find it, from the name of the device that it is part of."""
    cpu, _, cores = machine._processor().rpartition(", ")
    return timed_run().host.model_copy(update={"cpu": cpu, "cores": int(cores.split()[0])})


def test_what_was_just_measured_is_recorded_and_what_is_faster_replaces_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = (
        timed_run(day, {SDP: 10 - 2 * day, V1: 30}, host=_this_host()) for day in (0, 1)
    )
    measured = iter([before, after])
    monkeypatch.setattr(bench, "_measure", lambda *_: (next(measured), []))
    monkeypatch.setattr(machine, "_gpu", lambda: None)
    assert bench_here("--suite", "attn", "--record") == 0
    (device,) = store.devices(here)
    assert device.runs() == [before]
    assert bench_here("--gate") == 0
    assert device.runs() == [before, after]
    assert device.baseline["image"] == {"attn": after.run_id}
