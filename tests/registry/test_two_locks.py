"""Two real locks, installed by hash from the registry and measured in turns by the real probe."""

import shutil
import tempfile
from pathlib import Path

from scripts.bench import schema
from scripts.lock.lockfile import Lockfile, pins, read
from scripts.workspace.paths import LOCKFILES, WORKSPACE
from tests.support.commands import command

WEBUI = LOCKFILES / "webui-cu121-py3.11.txt"
PROBE = LOCKFILES / "probe-cu121-py3.11.txt"
LEFT_OUT = "blendmodes"
"""A package that nothing which is measured imports: the two locks must come out alike."""


def without(name: str, lock: Lockfile) -> tuple[str, str]:
    """A lock without a package, as `lock` would write it, and the package's version."""
    (left_out,) = [pin for pin in pins(lock.body) if pin.name == name]
    body = "".join(pin.entry for pin in pins(lock.body) if pin.name != name)
    return Lockfile(lock.path, lock.inputs, body).text(), left_out.version


def test_two_locks_are_measured_in_turns(tmp_path: Path) -> None:
    text, version = without(LEFT_OUT, read(WEBUI))
    lesser = tmp_path / WEBUI.name
    lesser.write_text(text)
    shutil.copy(PROBE, tmp_path)
    # Beside uv's cache, so that the environments' gigabytes are links; not kept as pytest keeps its
    # folders.
    with tempfile.TemporaryDirectory(dir=WORKSPACE) as workspace:
        done = command(
            *("bench", "--ab", str(WEBUI), str(lesser), "--quick"),
            *("--shape", "sd15-512-self-64", "--backend", "sdp", "--budget", "300"),
            environment={"SDKILN_WORKSPACE": workspace},
            timeout_s=3600,
        )
        assert done.returncode == 0, done.stderr
        folder = Path(workspace, "bench")
        runs = [schema.load(path) for path in folder.glob("*.json")]
        assert len(list((folder / "locks").glob("*/bin/python"))) == 2
    assert f"The runs differ in: {LEFT_OUT} {version} -> none." in done.stdout
    assert "attn/sd15-512-self-64/float32/sdp " in done.stdout
    assert {run.ran_in for run in runs} == {"host"}
    assert len({run.lock_sha256 for run in runs}) == 2
    for run in runs:
        (reference, again) = run.cases
        assert reference.id == "attn/sd15-512-self-64/float32/sdp"
        assert reference.resolved_kernel == again.resolved_kernel
        assert len(reference.samples_ns) >= 8
