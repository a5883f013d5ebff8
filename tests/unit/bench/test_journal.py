"""A run that was killed keeps what it measured, and is gone on with."""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import __main__ as bench
from scripts.bench import container, journal, schema
from scripts.bench.journal import Head, Journal, Kept, Unfinished
from scripts.workspace import cli
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.paths import ROOT

# A fake of a Python with torch and of the probe in it: two shapes, measured as the real one says
# it. In the second one it does what the file `then` says: wait, press Ctrl-C, or go on.
FAKE = """#!{python}
import glob, json, os, signal, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
def text(name):
    with open(os.path.join(folder, name)) as file:
        return file.read()
def emit(**record):
    print(json.dumps(record), flush=True)
if sys.argv[1] == "-c":
    print("[[3, 11], true]")
    sys.exit()
with open(os.path.join(folder, "calls"), "a") as calls:
    calls.write(json.dumps(sys.argv[3:]) + "\\n")
skip = sys.argv[sys.argv.index("--skip") + 1].split(",") if "--skip" in sys.argv else []
sw = dict(torch=text("torch"), cuda=None, cudnn=None, xformers=None, python="3.11")
emit(record="header", host=dict(cpu="a CPU", cores=2, governor=None, kernel="6.1", cgroup=None),
     gpu=None, sw=sw, flags=dict(tf32=False, cudnn_benchmark=False, deterministic=False, env={{}}))
for name in ("small", "large"):
    key = dict(shape=name, dtype="float32")
    if name + "/float32" in skip:
        continue
    emit(record="shape", name=name, dtype="float32")
    for backend in ("sdp", "sdp@again"):
        emit(record="case", id=f"attn/{{name}}/float32/{{backend}}", requested="sdp", status="ok",
             reason=None, flops=1, bytes=1, exps=1, **key)
    for index in range(8):
        both = {{"sdp": 100 + index, "sdp@again": 101 + index}}
        emit(record="round", order=["sdp", "sdp@again"], samples_ns=both, host_ns=both,
             nvml=dict(counter="9" * 5000 if text("then") == "much" else 9), discarded=None, **key)
        if name == "large" and index == 1 and text("then") == "interrupt":
            while text(glob.glob(folder + "/workspace/bench/*.jsonl")[0]).count('"large"') < 4:
                time.sleep(0.02)
            os.kill(os.getppid(), signal.SIGINT)
        while name == "large" and index == 1 and text("then") in ("wait", "interrupt"):
            time.sleep(0.02)
    emit(record="shape_end", rounds=8, reasons={{}}, outside_share=0.0, **key)
emit(record="final", seconds=1.0)
"""
HEAD = Head(
    run_id="20260102T030405Z-abcdef",
    utc="2026-01-02T03:04:05Z",
    argv=("--suite", "attn"),
    suites=("attn",),
    commit="c" * 40,
    lock_sha256=None,
    image_digest=None,
)


class Place:
    """A folder with a workspace of its own, and a fake Python in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bench = folder, folder / "workspace" / "bench"
        self.python = folder / "python3"
        self.python.write_text(FAKE.format(python=sys.executable))
        self.python.chmod(0o755)
        self.put("torch", "2.1.2")
        self.put("then", "go on")

    def put(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def measuring(self) -> tuple[str, ...]:
        return ("--in", "host", "--python", str(self.python), "--suite", "attn")

    def journals(self) -> list[Path]:
        return sorted(self.bench.glob("*.part.jsonl"))

    def results(self) -> list[schema.Run]:
        return [schema.load(path) for path in sorted(self.bench.glob("*.json"))]

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """What a bench leaves that gets SIGKILL in the middle of its second shape."""
    place = Place(tmp_path_factory.mktemp("killed"))
    place.put("then", "wait")
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.bench", *place.measuring()],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SDKILN_WORKSPACE": str(place.folder / "workspace"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not any(path.read_bytes().count(b'"large"') > 3 for path in place.journals()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    place.put("then", "go on")
    return place


class Runs(Protocol):
    """Run `bench` in this process: its exit code, and what it said on stderr."""

    def __call__(self, place: Place, *arguments: str) -> tuple[int, str]: ...


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Runs]:
    def run(place: Place, *arguments: str) -> tuple[int, str]:
        for module in (bench, container, journal):
            monkeypatch.setattr(module, "BENCH", place.bench)
        monkeypatch.delenv(cli.CHOSEN, raising=False)
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        return cli.run("bench", bench.main), capsys.readouterr().err

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def left(killed: Place, place: Place) -> Place:
    """A copy of what the killed bench left, to go on with."""
    place.bench.mkdir(parents=True)
    (journal_file,) = killed.journals()
    head, rest = journal_file.read_bytes().split(b"\n", 1)
    moved = head.replace(str(killed.folder).encode(), str(place.folder).encode())
    (place.bench / journal_file.name).write_bytes(moved + b"\n" + rest)
    return place


@contextmanager
def files_of(most_bytes: int) -> Iterator[None]:
    """A disk that is full: writing fails with the kernel's error once a file is that long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_killed_run_goes_on_with_the_shape_that_it_was_at(
    killed: Place, left: Place, runs: Runs
) -> None:
    assert killed.results() == []
    assert "--skip" not in killed.calls()[0]
    (file,) = left.journals()
    code, said = runs(left, "--continue")
    assert code == 0, said
    assert left.calls()[0][-2:] == ["--skip", "small/float32"]
    assert left.journals() == []
    (run,) = left.results()
    assert run.run_id == file.name.removesuffix(".part.jsonl")
    assert run.argv == left.measuring()
    assert [len(case.samples_ns) for case in run.cases] == [8, 8, 8, 8]
    assert [case.shape["name"] for case in run.cases] == ["small", "small", "large", "large"]
    assert "cut short, and continued at" in run.notes[-1]


def test_ctrl_c_writes_what_was_measured_and_the_rest_can_follow(place: Place, runs: Runs) -> None:
    place.put("then", "interrupt")
    code, said = runs(place, *place.measuring())
    assert code == 130
    assert "to measure the rest: ./nox -s bench -- --continue" in said
    (cut,) = place.results()
    assert "the run ended after" in str(cut.cases[-1].reason)
    place.put("then", "go on")
    assert runs(place, "--continue", cut.run_id)[0] == 0
    (whole,) = place.results()
    assert (whole.run_id, whole.cases[-1].reason) == (cut.run_id, None)
    assert place.journals() == []


def test_a_run_that_ends_leaves_no_journal(place: Place, runs: Runs) -> None:
    code, said = runs(place, *place.measuring())
    assert (code, place.journals()) == (0, []), said
    assert place.results()[0].notes == ()


def test_the_next_run_says_that_one_was_not_finished(left: Place, runs: Runs) -> None:
    (file,) = left.journals()
    said = runs(left, *left.measuring())[1]
    assert left.journals() == [file]
    (line,) = [line for line in said.splitlines() if "was not finished" in line]
    assert file.name.removesuffix(".part.jsonl") in line
    assert "--continue" in line


def test_another_torch_is_refused_by_name_and_nothing_is_lost(left: Place, runs: Runs) -> None:
    left.put("torch", "2.8.0")
    code, said = runs(left, "--continue")
    assert code == 2
    assert "sw.torch 2.1.2 -> 2.8.0" in said
    left.put("torch", "2.1.2")
    assert runs(left, "--continue")[0] == 0
    assert left.calls()[1][-2:] == ["--skip", "small/float32"]
    assert len(left.results()[-1].cases) == 4


def test_a_run_that_lives_is_not_continued_nor_named(left: Place, runs: Runs) -> None:
    (file,) = left.journals()
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "there is no unfinished run to go on with" in runs(left, "--continue")[1]
        code, said = runs(left, "--continue", file.name.removesuffix(".part.jsonl"))
        assert (code, "is still running" in said) == (2, True)


@pytest.mark.parametrize("most_bytes", [60_000, 75_000])
def test_a_full_disk_ends_the_run_in_one_line_and_the_rest_can_follow(
    place: Place, runs: Runs, most_bytes: int
) -> None:
    """It takes the first shape into the journal, and not the whole of the second one."""
    place.put("then", "much")
    with files_of(most_bytes):
        code, said = runs(place, *place.measuring())
    assert code == 1
    (line,) = [line for line in said.splitlines() if "cannot be written" in line]
    assert "File too large" in line
    assert "--continue" in said
    assert "Traceback" not in said
    assert runs(place, "--continue")[0] == 0
    assert place.calls()[1][-2:] == ["--skip", "small/float32"]
    (run,) = place.results()
    assert [len(case.samples_ns) for case in run.cases] == [8, 8, 8, 8]


def test_a_result_that_cannot_be_written_leaves_every_sample_in_the_journal(
    left: Place, runs: Runs
) -> None:
    """A folder in its place stands for a disk without room; nothing is then measured again."""
    (file,) = left.journals()
    taken = file.with_name(file.name.replace(".part.jsonl", ".json"))
    taken.mkdir()
    code, said = runs(left, "--continue")
    assert code == 1
    assert "cannot be written: Is a directory" in said
    assert "Every sample is in the run's journal" in said
    taken.rmdir()
    assert runs(left, "--continue")[0] == 0
    assert len(left.calls()) == 1
    assert len(left.results()[0].cases) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--continue",), "no unfinished run to go on with"),
        (("--continue", "20260102T030405Z-abcdef"), "no unfinished run '20260102T030405Z-abcdef'"),
        (("--continue", "--quick"), "the run's own arguments"),
        (("--continue", "--seed", "2"), "the run's own arguments"),
    ],
)
def test_what_cannot_be_continued_is_refused(
    place: Place, runs: Runs, arguments: tuple[str, ...], said: str
) -> None:
    code, words = runs(place, *arguments)
    assert (code, said in words) == (2, True), words


RECORDS: list[dict[str, Any]] = [
    {"record": "header", "host": {}},
    {"record": "round", "shape": "a", "name": "ä"},
    {"record": "shape_end", "shape": "a"},
    {"record": "round", "shape": "b"},
]


def lines_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"suite": "attn", "shape": record.get("shape"), "record": record} for record in records]


def written(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def parsed(data: bytes) -> Unfinished:
    return journal.parse(data, Path("x.part.jsonl"))


WHOLE = written(
    HEAD.model_dump(mode="json"),
    *lines_of(RECORDS),
    {"continued": "2026-01-02T04:00:00Z"},
    *lines_of([*RECORDS[3:], {"record": "shape_end", "shape": "b"}]),
)


@given(st.integers(0, len(WHOLE)), st.binary(max_size=20))
def test_a_journal_is_read_up_to_its_last_whole_line_wherever_it_was_cut(
    end: int, garbage: bytes
) -> None:
    """Whatever a disk that was full or lost its power put at the end."""
    whole = WHOLE[: WHOLE[:end].rfind(b"\n") + 1]
    for data in (WHOLE[:end], whole + garbage.replace(b"\n", b"") + b"\n"):
        if not whole:
            with pytest.raises(BadInput, match="cut in its first line"):
                parsed(data)
            continue
        found = parsed(data)
        assert found.head == HEAD
        assert data[: found.size] == whole
        ended = [line.shape for line in found.lines if line.record["record"] == "shape_end"]
        assert {line.shape for line in found.lines} <= {None, *ended}


def test_what_an_unfinished_shape_had_does_not_count_beside_its_second_start() -> None:
    """Round b of before the kill is dropped, and the one of after stays."""
    found = parsed(WHOLE)
    assert [line.shape for line in found.lines] == [None, "a", "a", "b", "b"]
    assert found.finished("attn") == ("a", "b")
    assert found.continued == ("2026-01-02T04:00:00Z",)


@given(st.lists(st.sampled_from(RECORDS), max_size=8), st.integers(0, 400))
def test_what_is_written_is_read_and_a_torn_end_is_cut_off(
    records: list[dict[str, Any]], torn: int
) -> None:
    made = journal.begin(HEAD)
    try:
        kept = Kept(made, "attn", lambda record: record.get("shape"), None)
        for record in records:
            kept.append(record)
        os.close(made._descriptor)
        data = made.path.read_bytes()
        made.path.write_bytes(data[: len(data) - min(torn, 50)] if records else data)
        before = journal.find(HEAD.run_id)
        again = journal.resume(before, "2026-01-02T05:00:00Z")
        found = parsed(again.path.read_bytes())
        assert found.lines == before.lines
        assert found.continued == ("2026-01-02T05:00:00Z",)
        os.close(again._descriptor)
    finally:
        made.path.unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"commit": "d" * 40}, "commit cccccccc"),
        ({"lock_sha256": "e" * 64}, "lock none -> eeee"),
        ({"image_digest": "sha256:ff"}, "image none -> sha256:ff"),
    ],
)
def test_another_commit_lock_or_image_is_refused(change: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parsed(WHOLE).require(HEAD.model_copy(update=change))
    parsed(WHOLE).require(HEAD)


def test_a_suite_that_had_not_begun_is_held_to_the_machine_of_the_others() -> None:
    header = {
        "record": "header",
        "host": {"cpu": "a"},
        "gpu": {"name": "H100", "mig": None},
        "sw": {"torch": "2.1.2"},
        "flags": {"tf32": False},
    }
    before = parsed(written(HEAD.model_dump(mode="json"), *lines_of([header])))
    before.require_machine("image", {**header, "flags": {"tf32": True}})
    for changed, said in (
        ({"gpu": None}, "gpu H100 -> none"),
        ({"gpu": {"name": "H100", "mig": "1g"}}, "gpu.mig None -> 1g"),
        ({"host": {"cpu": "b"}}, "host.cpu a -> b"),
    ):
        with pytest.raises(BadInput, match=said):
            before.require_machine("image", {**header, **changed})
    with pytest.raises(BadInput, match=r"flags\.tf32 False -> True"):
        before.require_machine("attn", {**header, "flags": {"tf32": True}})


def test_a_disk_that_does_not_even_take_the_first_line_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Failure, match="No space left on device"):
        journal.begin(HEAD)
    assert not Journal(HEAD, -1).path.exists()
