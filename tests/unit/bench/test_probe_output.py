"""The probe's output as the engine hands it over: in pieces, with progress in between."""

import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import container
from scripts.workspace.errors import Failure

OUT = b'{"record":"header","seed":1}\n{"record":"round","name":"\xc3\xa4"}\n{"record":"final"}\n'


@given(st.lists(st.integers(0, len(OUT)), max_size=6))
def test_records_survive_any_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(OUT)]
    pieces: Iterator[tuple[bytes | None, bytes | None]] = (
        (OUT[start:end] or None, None) for start, end in pairwise(places)
    )
    found = list(container._records(pieces))
    assert [record["record"] for record in found] == ["header", "round", "final"]
    assert found[1]["name"] == "ä"


def test_a_line_that_was_cut_off_is_no_record() -> None:
    """A killed probe may leave half a line: what was whole before it counts."""
    found = list(container._records(iter([(OUT[:40], None)])))
    assert [record["record"] for record in found] == ["header"]


def test_progress_goes_to_stderr_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = iter([(None, b"attn 1/8"), (None, b" n64\nattn 2/8\nlast")])
    assert list(container._records(pieces)) == []
    assert capsys.readouterr().err.splitlines() == ["attn 1/8 n64", "attn 2/8", "last"]


@pytest.mark.parametrize("line", [b"hello", b"[1]", b'{"no":"record"}'])
def test_a_line_that_is_no_record_is_a_fault(line: bytes) -> None:
    with pytest.raises(Failure, match="no record"):
        container.parse(line)


def test_what_killed_runs_left_is_swept_and_what_others_use_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "BENCH", tmp_path)
    ended = subprocess.Popen(["true"])
    ended.wait()
    alive = [tmp_path / f".probe-{pid}-x" for pid in (os.getpid(), os.getppid(), 1)]
    gone = [tmp_path / name for name in (f".probe-{ended.pid}-x", ".probe-abcdefgh")]
    for folder in (*alive, *gone):
        (folder / "probe").mkdir(parents=True)
    with container.staged_probe() as mine:
        assert {*tmp_path.iterdir()} == {*alive, mine}
    assert {*tmp_path.iterdir()} == {*alive}


def test_the_staged_probe_is_whole_and_readable_by_all() -> None:
    with container.staged_probe() as folder:
        files = {path.name for path in (folder / "probe").iterdir()}
        assert {"__main__.py", "attn.py", "image.py", "rounds.py"} <= files
        assert all(path.stat().st_mode & 0o044 for path in (folder / "probe").iterdir())
        assert folder.stat().st_mode & 0o055 == 0o055
    assert not folder.exists()
