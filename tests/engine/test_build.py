"""Builds with real BuildKit: what is built again, what is replaced, and what a failure says."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from scripts.build import bake, buildx
from scripts.build.build import prepared
from scripts.build.engine import Engine
from scripts.build.image import built
from scripts.build.record import BuildRecord
from scripts.workspace.model import load
from scripts.workspace.paths import BUILDS, ROOT
from tests.support.commands import command


def test_nothing_is_built_when_nothing_changed(image: BuildRecord) -> None:
    started = time.monotonic()
    done = command("build")
    assert done.returncode == 0, done.stderr
    assert "Nothing changed since it was built." in done.stdout
    assert built("sandbox") == image
    # The bound that the README promises, not a measurement.
    assert time.monotonic() - started < 15


def test_the_record_names_every_layer_with_its_digest_and_size(image: BuildRecord) -> None:
    names = [layer.name for layer in image.layers]
    assert names == [
        "base",
        "system",
        "layout",
        "py-cuda",
        "py-torch",
        "py-attention",
        "py-large",
        "py-moving",
        "py-webui",
        "py-worker",
        "tokenizer",
        "model",
        "source",
        "app",
    ]
    for layer in image.layers:
        assert layer.digest.startswith("sha256:")
        assert layer.size
        assert layer.unpacked


def test_a_change_of_the_app_makes_one_layer(image: BuildRecord, tmp_path: Path) -> None:
    app = BUILDS / "sandbox" / "contexts" / "app" / "app"
    changed = tmp_path / "app"
    changed.mkdir()
    for file in app.glob("*.*"):
        (changed / file.name).write_bytes(file.read_bytes())
    (changed / "handler.py").write_text("# changed\n")
    try:
        done = command("build", f"--context=app={changed}")
        assert done.returncode == 0, done.stderr
        other = built("sandbox")
        assert other.replaced == {"app": str(changed)}
        assert f"app was replaced by {changed}" in done.stdout
        different = {
            layer.name
            for layer, before in zip(other.layers, image.layers, strict=True)
            if layer.digest != before.digest
        }
        assert different == {"app"}
    finally:
        assert command("build").returncode == 0
    # The same inputs give the same bits: the image is back, to the digest.
    assert built("sandbox").digest == image.digest


def test_a_step_that_fails_is_named_with_its_last_lines(image: BuildRecord, tmp_path: Path) -> None:
    (tmp_path / "broken.deb").write_text("no package")
    done = command("build", f"--context=debs={tmp_path}")
    assert done.returncode == 1
    assert "the build failed at [system 1/2] RUN" in done.stderr
    assert "broken.deb" in done.stderr
    assert "Traceback" not in done.stderr
    assert built("sandbox").digest == image.digest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_stopped_leaves_the_image_and_the_record(
    image: BuildRecord, engine: Engine, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "mark").write_text(os.urandom(8).hex())
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.build", f"--context=model={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    # The first step that ends shows that buildx is in the middle of it.
    assert process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode in (-number, 128 + number)
    assert built("sandbox").digest == image.digest
    done = command("build")
    assert done.returncode == 0, done.stderr
    assert built("sandbox").digest == image.digest


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--context=sourc=x", "there is no input sourc. Did you mean source?"),
        ("--context=source=./nowhere", "there is no folder ./nowhere"),
        ("--profile=sanbox", "there is no profile sanbox. Did you mean sandbox?"),
    ],
)
def test_wrong_arguments_are_answered_at_once(argument: str, said: str) -> None:
    done = command("build", argument)
    assert done.returncode == 2
    assert said in done.stderr


def test_no_space_is_told_before_anything_is_built(tmp_path: Path) -> None:
    """A file system of 64 MB, mounted for this test, is the disk that is too small."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", tmp_path], check=True)
    try:
        done = command("build", environment={"SDKILN_WORKSPACE": str(tmp_path)})
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert done.returncode == 1
    assert "needs" in done.stderr
    assert "GB of disk, but" in done.stderr


def test_secrets_of_the_machine_reach_a_step_and_no_layer(
    image: BuildRecord, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokenizer's stage, built anew with a marked CA bundle, is searched byte by byte."""
    marker = f"# marker-{os.urandom(8).hex()}"
    bundle = tmp_path / "bundle"
    bundle.write_text(buildx.DEFAULT_CA.read_text() + marker)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with prepared(load(), "sandbox", []) as task:
        definition = task.definition
        given = [each.rpartition("src=")[2] for each in definition["target"]["_common"]["secret"]]
        assert any(marker in Path(each).read_text() for each in given)
        definition["target"]["image"] |= {
            "target": "tokenizer",
            "tags": [],
            "no-cache-filter": ["tokenizer"],
            "output": [f"type=oci,compression=uncompressed,dest={tmp_path}/image.tar"],
        }
        file = tmp_path / "bake.json"
        file.write_text(json.dumps(definition))
        for target in bake.order(definition):
            steps, _ = buildx.bake(engine, file, target, Console(quiet=True))
    assert [step for step in steps if step.name.startswith("[tokenizer") and not step.cached]
    content = (tmp_path / "image.tar").read_bytes()
    assert b"vocab.json" in content
    assert marker.encode() not in content
