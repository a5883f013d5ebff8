"""Builds with real BuildKit: what is built again, what is replaced, and what a failure says."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from scripts.build.engine import Engine
from scripts.build.image import built
from scripts.build.record import BuildRecord
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
    app = BUILDS / "sandbox" / "contexts" / "app"
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


def test_a_build_that_is_killed_leaves_the_image_and_the_record(
    image: BuildRecord, engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "webui.py").write_text(f"# {os.urandom(8).hex()}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.build", f"--context=source={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert built("sandbox").digest in (image.digest, _digest_now(engine))
    done = command("build")
    assert done.returncode == 0, done.stderr
    assert built("sandbox").digest == image.digest


def _digest_now(engine: Engine) -> str:
    return str(engine.client().images.get("sdkiln-sandbox:latest").id)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--context=sourc=x", "there is no input sourc. Did you mean source?"),
        ("--context=source=./nowhere", "the folder ./nowhere does not exist"),
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


def test_secrets_of_the_machine_are_in_no_layer_and_no_history(
    image: BuildRecord, engine: Engine
) -> None:
    client = engine.client()
    history = json.dumps(client.images.get(image.image).history())
    assert "/run/secrets" not in history.replace("id=ca", "")
    container = client.containers.create(image.image)
    try:
        stream, _ = container.get_archive("/run")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            assert not [name for name in tar.getnames() if "secrets" in name]
    finally:
        container.remove()
