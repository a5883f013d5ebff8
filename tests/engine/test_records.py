"""What is kept of a build: its steps, their logs, the use of the cache, the files of the image."""

import json
import os
from pathlib import Path

from scripts.build.progress import is_work
from tests.support.workspaces import Apart


def test_each_step_is_recorded_with_its_times_and_bytes(apart: Apart, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(os.urandom(3_000_000))
    assert apart.build(f"--context=model={tmp_path}").returncode == 0
    steps = {step.name: step for step in apart.record().steps}
    sent = next(step for name, step in steps.items() if name.startswith("[context model] load f"))
    assert sent.received is not None
    assert 3_000_000 <= sent.received < 3_100_000
    assert sent.queued is not None
    assert sent.started is not None
    assert 0 <= sent.queued <= sent.started + 1
    (copied,) = [step for name, step in steps.items() if is_work(name) and "=model /" in name]
    assert not copied.cached
    assert copied.received is None


def test_a_layer_that_was_installed_is_linked_to_its_whole_log(apart: Apart) -> None:
    record = apart.record()
    log = (apart.records / record.logs["py-worker"]).read_text()
    assert "RUN /tools/install-packages /opt/worker" in log.splitlines()[0]
    assert "Resolved " in log
    assert " + runpod==" in log
    downloads = [line for line in log.splitlines() if line.startswith("downloaded ")]
    assert len(downloads) == 1
    assert not Path(record.logs["py-worker"]).is_absolute()


def test_what_a_step_downloaded_is_what_its_log_says(apart: Apart) -> None:
    """Of the first build of this workspace: later ones have the packages in uv's cache."""
    first = min(apart.records.glob("[0-9]*Z.json"))
    steps = json.loads(first.read_text())["steps"]
    (step,) = [step for step in steps if step["name"].startswith("[py-worker ")]
    # The wheels alone are more than 50 MB.
    assert step["received"] > 50_000_000


def test_a_cached_layer_keeps_the_log_of_the_build_that_made_it(
    apart: Apart, tmp_path: Path
) -> None:
    before = apart.record()
    (tmp_path / "weights").write_bytes(os.urandom(1000))
    assert apart.build(f"--context=model={tmp_path}").returncode == 0
    after = apart.record()
    assert after.utc != before.utc
    assert after.logs["py-worker"] == before.logs["py-worker"]


def test_a_record_of_another_schema_is_built_over(apart: Apart) -> None:
    latest = apart.records / "latest.json"
    latest.write_text('{"schema_version": 0}')
    done = apart.build()
    assert done.returncode == 0, done.stderr
    assert apart.record().schema_version == 2


def test_the_history_shows_each_build_with_its_cached_steps(apart: Apart) -> None:
    done = apart.build("--history")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.strip().startswith("20")]
    assert len(rows) == len(list(apart.records.glob("[0-9]*Z.json")))
    assert "%" in rows[-1]


def test_the_tree_names_packages_and_files_of_each_layer(apart: Apart) -> None:
    done = apart.build("--tree")
    assert done.returncode == 0, done.stderr
    layers = [line.split()[-1] for line in done.stdout.splitlines() if line[:3] in ("├──", "└──")]
    assert layers == [layer.name for layer in apart.record().layers]
    assert " cryptography " in done.stdout
    assert " libpython3.11-minimal" in done.stdout
    assert " usr/bin/perl" in done.stdout


def test_a_layer_over_its_budget_fails_the_build_after_it_is_recorded(
    apart: Apart, tmp_path: Path
) -> None:
    for name in ("app", "tokenizer"):
        (tmp_path / name / "layer").mkdir(parents=True)
        (tmp_path / name / "layer" / "large").write_bytes(os.urandom(1_500_000))
    contexts = [f"--context={name}={tmp_path}/{name}" for name in ("app", "tokenizer")]
    done = apart.build(*contexts)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "app is 1.5 MB to pull; its budget is 1 MB." in done.stderr
    assert "tokenizer is 1.5 MB to pull; its budget is 1 MB." in done.stderr
    record = apart.record()
    assert record.replaced["app"] == f"{tmp_path}/app"
    assert apart.client().images.get(record.image).id == record.digest
    again = apart.build(*contexts)
    assert again.returncode == 3
    assert "Nothing changed" in again.stdout
    assert apart.build().returncode == 0
