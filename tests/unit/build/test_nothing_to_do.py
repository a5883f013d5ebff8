"""When a build has nothing to do, what disk it asks for, and when the same inputs may differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from scripts.build import build, record
from scripts.build.build import Task
from scripts.build.engine import Engine
from scripts.build.exchange import NOTHING, Exchange
from scripts.build.recipe import CHECK, recipe
from scripts.build.record import BuildRecord, lock_digest, save
from scripts.workspace.errors import Failure
from scripts.workspace.model import load
from tests.support.records import build_record

ENGINE = Engine("unix:///nowhere.sock", Path("/bin/docker"), embedded=False)
BEFORE = build_record(inputs_sha256="the same")


class Began(Failure):
    """What a stand-in of buildx raises: the build would have begun."""


def again(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    given: dict[str, str],
    exchange: Exchange = NOTHING,
    before: BuildRecord = BEFORE,
    targets: dict[str, object] | None = None,
) -> bool:
    """Build what was built before of the same inputs; return whether anything had to be done."""

    @contextmanager
    def prepared(*_given: object) -> Iterator[Task]:
        made = {"target": {} if targets is None else targets}
        yield Task("sandbox", {}, {}, given, given, made, folder / "bake.json")

    @contextmanager
    def replacing(*_given: object) -> Iterator[None]:
        raise Began("it began")
        yield

    monkeypatch.setattr(record, "BUILDS", folder)
    monkeypatch.setattr(build, "BUILDS", folder)
    monkeypatch.setattr(build, "prepared", prepared)
    monkeypatch.setattr(build, "replacing", replacing)
    monkeypatch.setattr(build, "_inputs_digest", lambda *_given: "the same")
    monkeypatch.setattr(build, "_present", lambda *_given: True)
    monkeypatch.setattr(build, "require_space", lambda *_given: None)
    save(before)
    try:
        found, built = build.build(load(), "sandbox", [], ENGINE, Console(quiet=True), exchange)
    except Began:
        return True
    assert found == before
    return built


@pytest.mark.parametrize(
    "given", [{}, {"model": "/a/folder"}, {"base": "docker-image://base@sha256:" + "0" * 64}]
)
def test_the_same_inputs_are_not_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str]
) -> None:
    assert not again(monkeypatch, tmp_path, given)


def test_an_image_by_its_tag_may_be_another_one_by_now_and_is_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert again(monkeypatch, tmp_path, {"base": "docker-image://base:latest"})


@pytest.mark.parametrize(
    ("image", "checked"),
    [("docker-image://layer:latest", True), ("docker-image://layer@sha256:" + "0" * 64, False)],
)
def test_layers_are_checked_again_where_one_may_have_moved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: str, checked: bool
) -> None:
    given = {"py-torch": image}
    before = BEFORE.model_copy(
        update={"recipe": recipe(load(), "sandbox", given), "inputs_sha256": "others"}
    )
    targets: dict[str, object] = {CHECK: {}}
    assert again(monkeypatch, tmp_path, given, before=before, targets=targets)
    assert (CHECK in targets) == checked


def test_a_build_is_recorded_anew_to_be_attested_where_another_lock_has_moved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    attested = Exchange(attest=["provenance"])
    assert again(monkeypatch, tmp_path, {}, attested)
    of_now = BEFORE.model_copy(update={"lock_sha256": lock_digest()})
    assert not again(monkeypatch, tmp_path, {}, attested, of_now)


def test_disk_is_asked_for_the_layers_that_an_engine_has_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workspace = load()
    has_all = BEFORE.model_copy(update={"recipe": recipe(workspace, "sandbox")})
    # The last build had a folder in the place of a layer; the engine has what was there before.
    marked = recipe(workspace, "sandbox", {"py-torch": "/a/folder"})
    smaller = BEFORE.model_copy(update={"recipe": marked, "utc": "2026-11-01T11:00:00Z"})
    monkeypatch.setattr(record, "BUILDS", tmp_path)
    monkeypatch.setattr(build, "_present", lambda *_given: True)
    save(smaller)
    all_layers = build.space(workspace, "sandbox", [])
    assert all_layers > build.space(workspace, "sandbox", [], ENGINE) > build.REST
    save(has_all)
    save(smaller)
    assert build.space(workspace, "sandbox", [], ENGINE) == 0
    monkeypatch.setattr(build, "_present", lambda *_given: False)
    assert build.space(workspace, "sandbox", [], ENGINE) == all_layers
    # A builder has a disk of its own.
    assert build.space(workspace, "sandbox", [], replace(ENGINE, builder="away")) == 0


def test_disk_is_asked_for_a_model_and_for_folders_that_are_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workspace = load()
    monkeypatch.setattr(record, "BUILDS", tmp_path / "builds")
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "file").write_bytes(b"x" * 1000)
    model = recipe(workspace, "sandbox").parts["model"].size
    assert model > 0
    without = build.space(workspace, "sandbox", [])
    given = build.space(workspace, "sandbox", [f"model={folder}"])
    assert given - without == build.PER_FILE_BYTE * (1000 - model)
    torch = recipe(workspace, "sandbox").parts["locks/py-torch"].size
    given = build.space(workspace, "sandbox", [f"py-torch={folder}"])
    assert given - without == build.PER_FILE_BYTE * 1000 - build.PER_WHEEL_BYTE * torch


def test_what_a_builder_made_is_not_in_the_engine_and_hides_nothing_that_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workspace = load()
    monkeypatch.setattr(record, "BUILDS", tmp_path)
    monkeypatch.setattr(
        build, "_present", lambda _engine, made: made.image == "sdkiln-sandbox:latest"
    )
    away = {"image": f"a.io/x:1@{BEFORE.digest}", "engine": "builder away"}
    pushed = BEFORE.model_copy(
        update={**away, "recipe": recipe(workspace, "sandbox"), "utc": "2026-11-01T12:00:00Z"}
    )
    save(pushed)
    save(pushed.model_copy(update={"image": BEFORE.image, "utc": "2026-11-01T11:00:00Z"}))
    everything = build.space(workspace, "sandbox", [])
    assert build.space(workspace, "sandbox", [], ENGINE) == everything
    save(BEFORE.model_copy(update={"recipe": recipe(workspace, "sandbox")}))
    save(pushed)
    assert build.space(workspace, "sandbox", [], ENGINE) == 0
