"""`build --verify`: what it needs is said before anything is built, and how it builds again."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.build import __main__ as command
from scripts.build import engine, verify
from scripts.build.apart import apart
from scripts.build.engine import Engine
from scripts.build.options import parser
from scripts.build.record import BuildRecord
from scripts.workspace.errors import Failure
from scripts.workspace.model import load
from tests.support.records import build_record

ENGINE = Engine("unix:///nowhere.sock", Path("/bin/docker"), embedded=False)
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def made(digest: str) -> BuildRecord:
    return build_record(digest=digest)


class FakeBuilds:
    """Stands for builds in a workspace apart: keeps their arguments, and records this digest."""

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self.digest = digest
        self.arguments: list[tuple[str, ...]] = []

    @contextmanager
    def apart(self, name: str, purpose: str) -> Iterator[Path]:
        yield self.folder

    def run(self, folder: Path, module: str, *arguments: str) -> None:
        assert (folder, module) == (self.folder, "scripts.build")
        self.arguments.append(arguments)
        record = folder / "builds" / "sandbox" / "latest.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(made(self.digest).model_dump_json())


@pytest.fixture
def again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeBuilds:
    builds = FakeBuilds(tmp_path / "verify", ONE)
    monkeypatch.setattr(verify, "apart", builds.apart)
    monkeypatch.setattr(verify, "run", builds.run)
    return builds


def test_the_second_build_begins_with_another_stage_than_the_first(again: FakeBuilds) -> None:
    assert verify.differences(made(ONE), ENGINE, ["model=/m"]) == []
    inputs = ("--profile", "sandbox", "--context=model=/m")
    assert again.arguments == [(*inputs, "--target", "py-worker"), inputs]


def test_a_machine_without_the_embedded_engine_is_told_that_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with (
        pytest.raises(Failure, match="must be started as root") as no,
        apart("verify", "build --verify"),
    ):
        pass
    assert no.value.message.startswith("build --verify needs the embedded engine")
    assert "root on Debian or Ubuntu" in no.value.hint


def test_a_disk_that_holds_one_image_and_not_the_second_is_too_small(
    again: FakeBuilds, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {ENGINE: 10**18, None: 2 * 10**18}
    monkeypatch.setattr(verify, "space", lambda *given: sizes[given[3] if given[3:] else None])
    with pytest.raises(Failure, match=r"build --verify needs 3000000000\.0 GB of disk"):
        verify.require(load(), "sandbox", [], ENGINE)
    assert again.arguments == []


def test_what_verifying_needs_is_checked_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_given: object) -> None:
        raise Failure("no disk")

    monkeypatch.setattr(engine, "ensure", lambda: ENGINE)
    monkeypatch.setattr(verify, "require", refuse)
    monkeypatch.setattr(command, "build", lambda *_given: pytest.fail("it was built"))
    args: argparse.Namespace = parser().parse_args(["--verify"])
    with pytest.raises(Failure, match="no disk"):
        command.main(args)
