"""Contexts are the same on every machine, and their times follow from their content."""

import os
from collections import defaultdict
from pathlib import Path

import pytest

from scripts.build import build, buildx, dockerfile
from scripts.build import contexts as module
from scripts.build.contexts import Contexts, require_stages
from scripts.workspace.errors import BadInput
from scripts.workspace.files import EPOCH
from scripts.workspace.model import load


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contexts:
    monkeypatch.setattr(module, "BUILDS", tmp_path)
    return Contexts("sandbox")


def states(folder: Path) -> dict[str, tuple[int, float]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.stat().st_mtime)
        for path in [folder, *folder.rglob("*")]
    }


def test_modes_and_times_do_not_depend_on_the_machine(contexts: Contexts) -> None:
    one = states(contexts.put("one", {"a/b": "text"}))
    before = os.umask(0o077)
    try:
        other = states(contexts.put("other", {"a/b": "text"}))
    finally:
        os.umask(before)
    assert one == other
    assert one["a/b"][0] & 0o777 == 0o644


def test_another_content_of_the_same_size_has_another_time(contexts: Contexts) -> None:
    one = states(contexts.put("one", {"a": "text"}))
    other = states(contexts.put("other", {"a": "tent"}))
    assert one["a"] != other["a"]


def test_a_program_stays_executable(contexts: Contexts, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    folder = contexts.put("one", {"program": program})
    assert (folder / "program").stat().st_mode & 0o777 == 0o755


def test_a_replacing_checkout_comes_without_its_git(contexts: Contexts, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    for name in (".git/config", "repositories/one/.git/config", "webui.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("https://token@host/")
    given = module.replacing("sandbox", "source", folder)
    files = [path for path in given.rglob("*") if path.is_file()]
    assert files == [given / "srv" / "webui" / "webui.py"]


def test_a_replacing_folder_keeps_its_files_and_links(contexts: Contexts, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "a.deb").write_text("a")
    (folder / "b.deb").symlink_to("a.deb")
    given = module.replacing("sandbox", "debs", folder)
    assert (given / "a.deb").read_text() == "a"
    assert (given / "b.deb").readlink() == Path("a.deb")


def test_two_profiles_replace_a_context_side_by_side(contexts: Contexts, tmp_path: Path) -> None:
    for profile in ("sandbox", "runpod"):
        (tmp_path / f"for-{profile}").mkdir()
        (tmp_path / f"for-{profile}" / profile).touch()
    one = module.replacing("sandbox", "debs", tmp_path / "for-sandbox")
    other = module.replacing("runpod", "debs", tmp_path / "for-runpod")
    assert (one / "sandbox").exists()
    assert (other / "runpod").exists()


def test_what_an_earlier_build_was_given_is_kept_for_no_later_one(
    contexts: Contexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "model.safetensors").touch()
    given = module.replacing("sandbox", "model", tmp_path / "given")
    other = module.replacing("runpod", "model", tmp_path / "given")
    monkeypatch.setattr(build, "BUILDS", tmp_path)
    monkeypatch.setattr(buildx, "SECRETS", tmp_path / "secrets")
    monkeypatch.setattr(module, "inputs", lambda *_given: defaultdict(lambda: tmp_path))
    with build.prepared(load(), "sandbox", []):
        assert not given.exists()
    assert other.exists()


@pytest.mark.parametrize(("context", "place"), module.PLACES.items())
def test_files_lie_where_they_go_in_the_image_in_folders_of_one_time(
    contexts: Contexts, tmp_path: Path, context: str, place: str
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "file").write_text("text")
    linked = contexts.link(context, tmp_path / "store")
    assert (linked / place / "file").samefile(tmp_path / "store" / "file")
    folders = [path for path in (linked, *linked.rglob("*")) if path.is_dir()]
    assert {path.stat().st_mtime for path in folders} == {EPOCH}


def test_every_layer_group_gets_into_the_image() -> None:
    require_stages(load().layers, dockerfile.read())


@pytest.mark.parametrize(
    ("gone", "stage"),
    [
        ("COPY --link --from=py-large /layer /", "image"),
        ("--mount=type=bind,from=py-large,source=/layer,target=/layers/py-large", "check"),
        ("--mount=type=bind,from=locks,source=py-large,target=/lock", "py-large"),
    ],
)
def test_a_layer_group_that_would_vanish_is_refused_with_what_to_add(gone: str, stage: str) -> None:
    lines = dockerfile.read().splitlines(keepends=True)
    text = "".join(line for line in lines if gone not in line)
    with pytest.raises(BadInput, match=rf"layers\.py-large: .* in stage {stage}") as failure:
        require_stages(load().layers, text)
    assert failure.value.hint == f"Add to it: {gone}"


def test_a_layer_group_without_a_stage_is_refused() -> None:
    with pytest.raises(BadInput, match=r"layers\.py-extra: docker/Dockerfile has no stage"):
        require_stages(["py-extra"], dockerfile.read())
