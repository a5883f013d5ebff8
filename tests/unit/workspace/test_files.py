"""Files are whole or absent, whatever happens while they are written."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.workspace.errors import Failure
from scripts.workspace.files import exclusive, require_space, sha256, write_all, write_atomic


def test_a_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "below" / "file"
    write_atomic(path, "old")
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_of_several_files_none_is_touched_when_the_disk_is_full_at_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / name for name in ("first", "second", "third")]
    write_all({path: "old" for path in paths})
    synced = []

    def full_at_the_third(handle: int) -> None:
        synced.append(handle)
        if len(synced) == len(paths):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_at_the_third)
    with pytest.raises(OSError, match="No space"):
        write_all({path: "new" for path in paths})
    assert [path.read_text() for path in paths] == ["old"] * 3
    assert sorted(tmp_path.iterdir()) == paths


def test_files_come_into_place_in_order_up_to_the_one_that_cannot_be_replaced(
    tmp_path: Path,
) -> None:
    first, stuck, last = (tmp_path / name for name in ("z", "folder", "a"))
    stuck.mkdir()
    write_all({first: "old", last: "old"})
    with pytest.raises(IsADirectoryError):
        write_all({first: "new", stuck: "new", last: "new"})
    assert (first.read_text(), last.read_text()) == ("new", "old")
    assert sorted(tmp_path.iterdir()) == [last, stuck, first]


@given(content=st.binary(max_size=1000))
def test_the_digest_is_sha256(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("digest") / "file"
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_lack_of_space_says_how_much_is_needed(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"building needs 1000000\.0 GB of disk, but .* GB free"):
        require_space(tmp_path, 10**15, "building")


def test_the_second_of_two_waits_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock"
    holder = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        # The holder ends when its standard input does, a moment after we began to wait.
        with subprocess.Popen(["sh", "-c", "sleep 0.5"], stdout=process.stdin):
            process.stdin.close()
            with exclusive(lock, "lock"):
                assert "Waiting: another process is busy with lock." in capsys.readouterr().err
