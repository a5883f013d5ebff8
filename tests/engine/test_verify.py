"""`build --verify`: the same image from nothing, or a difference told by layer and file."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.build.record import BuildRecord
from scripts.workspace.paths import ROOT, WORKSPACE
from tests.support.commands import command
from tests.support.layers import small


@pytest.fixture
def replaced(tmp_path: Path, image: BuildRecord) -> Iterator[list[str]]:
    """Arguments that put small folders in the place of the layers that take gigabytes.

    The whole image is verified by hand, see docs/performance.md: it takes 30 GB of disk.
    """
    yield small(tmp_path, ("py-cuda", "py-torch", "py-attention", "py-webui"))
    assert command("build").returncode == 0


def test_an_image_is_the_same_to_the_bit_when_it_is_built_from_nothing(
    replaced: list[str],
) -> None:
    done = command("build", "--verify", *replaced, timeout_s=2400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "The same to the bit: sha256:" in done.stdout
    assert not (WORKSPACE / "verify").exists()


def test_a_difference_is_told_by_layer_and_file(replaced: list[str], tmp_path: Path) -> None:
    """A folder that changes between the two builds is what no build can make the same."""
    more = small(tmp_path, ("py-large", "py-moving"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("first")
    contexts = [*replaced, *more, f"--context=model={model}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.build", "--verify", *contexts],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "again from nothing" in line:
            (model / "weights").write_text("later")
            (model / "weights").chmod(0o600)
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait() == 3, said
    (line,) = [line for line in said.splitlines() if line.startswith("model: models/weights")]
    assert "mode (644 and 600)" in line
    assert "content (a7937b64b8ca and " in line
    assert not [line for line in said.splitlines() if line.startswith(("app:", "source:"))]
    assert not (WORKSPACE / "verify").exists()
