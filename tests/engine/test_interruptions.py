"""What happens in the middle of a build: the disk fills, the engine dies, another build starts."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from scripts.build.image import replacing
from tests.support.commands import command
from tests.support.workspaces import Apart, workspace


def model(folder: Path, size: int = 8) -> str:
    """Return an argument that gives the image another model, so that something is to be built."""
    folder.mkdir(exist_ok=True)
    (folder / "weights").write_bytes(os.urandom(size))
    return f"--context=model={folder}"


def slow(folder: Path) -> str:
    """Return an argument for a step that says that it runs, and then takes its time."""
    script = folder / "install" / "install-packages"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\nmkdir -p /layer; echo installing; sleep 60\n")
    script.chmod(0o755)
    return f"--context=tools={folder}"


def processes(word: str) -> list[str]:
    """Return the command lines of this machine's processes that have a word in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in text:
            found.append(text)
    return found


def test_an_engine_that_is_killed_is_told_and_the_next_build_works(
    apart: Apart, tmp_path: Path
) -> None:
    before = apart.record()
    contexts = (slow(tmp_path / "tools"), f"--context=source={tmp_path}")
    process = apart.start("--target=py-worker", *contexts)
    assert process.stdout is not None
    runs = "/bin/sh -c /tools/install-packages /opt/worker"
    while not processes(runs):
        assert process.poll() is None, process.stdout.read()
    os.kill(apart.pid(), signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the engine stopped in the middle of the build." in said
    assert "Traceback" not in said
    assert apart.record() == before
    done = apart.build(model(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    assert not processes(runs)
    assert f"{apart.folder}/engine/data/buildkit/executor" not in Path("/proc/mounts").read_text()


def test_two_builds_at_once_make_one_image_and_one_finds_it_made(
    apart: Apart, tmp_path: Path
) -> None:
    argument = model(tmp_path / "model")
    builds = [apart.start(argument) for _ in range(2)]
    said = [build.communicate(timeout=300)[0] for build in builds]
    assert [build.returncode for build in builds] == [0, 0], said
    assert sum("another process is busy with a build of sandbox" in each for each in said) == 1
    assert sum("Nothing changed since it was built." in each for each in said) == 1
    record = apart.record()
    assert apart.client().images.get(record.image).id == record.digest


def test_what_a_build_replaces_stays_until_the_new_image_is_whole(
    apart: Apart, tmp_path: Path
) -> None:
    """Layers that both have went missing otherwise, when anything was removed at that moment."""
    assert apart.build(model(tmp_path / "model")).returncode == 0
    record, client = apart.record(), apart.client()
    with replacing(apart.engine(), record.image):
        client.images.remove(record.image)
        assert client.images.get(record.digest).id == record.digest
    with pytest.raises(ImageNotFound):
        client.images.get(record.digest)
    # The same again, and not what was removed: the layers are unpacked anew.
    assert apart.build(f"--context=model={tmp_path / 'model'}").returncode == 0
    assert apart.client().images.get(record.image).id == record.digest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Apart]:
    """A workspace on a file system of 9 GB, in a file that is as large as what is in it."""
    file, mount = tmp_path / "disk", tmp_path / "mount"
    mount.mkdir()
    with file.open("wb") as opened:
        opened.truncate(9 * 10**9)
    subprocess.run(["mkfs.ext4", "-q", "-F", file], check=True)
    subprocess.run(["mount", "-o", "loop", file, mount], check=True)
    made = None
    try:
        made = workspace(mount)
        yield made
    finally:
        if made is not None:
            command("engine", "stop", environment=made.environment)
        subprocess.run(["umount", mount], check=True)
        file.unlink()


def test_a_disk_that_fills_in_the_middle_is_told_and_the_next_build_works(
    small_disk: Apart, tmp_path: Path
) -> None:
    """Something else takes all space as soon as the build has begun: it was checked before."""
    before = small_disk.build("--target=layout")
    assert before.returncode == 0, before.stderr
    filler = small_disk.folder / "filler"
    process = small_disk.start(model(tmp_path / "model", 300_000_000))
    assert process.stdout is not None
    first = process.stdout.readline()
    free = os.statvfs(small_disk.folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 40_000_000)
    guard = threading.Timer(300, process.kill)
    guard.start()
    said = first + process.stdout.read()
    guard.cancel()
    assert process.wait() == 1, said
    assert "no space left on device" in said.lower()
    assert "The disk is full." in said
    assert "Traceback" not in said
    assert not (small_disk.records / "latest.json").exists()
    filler.unlink()
    done = small_disk.build()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    record = small_disk.record()
    assert small_disk.client().images.get(record.image).id == record.digest
    # What is in the engine by now is small: all layers at full size do not fit beside it.
    done = command("build", environment=small_disk.environment)
    assert done.returncode == 1
    assert "building sandbox needs 3" in done.stderr
    assert " GB of disk, but " in done.stderr
    assert small_disk.record() == record
