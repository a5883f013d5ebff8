"""A build says whether its digest is the one that the same inputs gave before."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.build import record as records
from scripts.build import recorded
from scripts.build.recipe import Recipe, recipe
from scripts.build.record import BuildRecord, save
from scripts.build.recorded import Comparison
from scripts.workspace.errors import BadInput, CheckFailed
from scripts.workspace.model import load
from tests.support.records import build_record

RECIPE = recipe(load(), "sandbox")
OTHER = recipe(load(), "runpod")
NOTHING = "No digest is recorded for these inputs."
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No record of this machine has a say."""
    monkeypatch.setattr(records, "BUILDS", tmp_path)
    monkeypatch.setattr(recorded, "VERIFIED", tmp_path / "verified.toml")


def made(digest: str, minute: int, inputs: Recipe = RECIPE) -> BuildRecord:
    return build_record(
        digest=digest,
        recipe=inputs,
        utc=f"2026-11-01T10:{minute:02}:00Z",
        engine="embedded, Docker 26",
    )


def test_a_first_build_has_nothing_to_be_compared_with() -> None:
    assert recorded.comparison(made(ONE, 0)) == Comparison(True, NOTHING)


def test_the_same_inputs_with_the_same_digest_are_said_to_be_so() -> None:
    save(made(ONE, 0))
    said = recorded.comparison(made(ONE, 1))
    assert said.same
    assert said.sentence.startswith(
        "The digest is the one recorded for these inputs here at 2026-11-01T10:00"
    )


def test_the_same_inputs_with_another_digest_are_said_loudly() -> None:
    save(made(ONE, 0))
    said = recorded.comparison(made(TWO, 1))
    assert not said.same
    assert said.sentence.startswith("NOT the digest that the same inputs gave before: sha256:111")


def test_an_odd_build_of_before_is_not_held_against_every_later_one() -> None:
    save(made(TWO, 0))
    save(made(ONE, 1))
    assert recorded.comparison(made(ONE, 2)).same
    assert not recorded.comparison(made(TWO, 2)).same
    # A build that was recorded later says nothing of what came before it.
    assert recorded.comparison(made(TWO, 1)).same


def test_what_was_recorded_before_the_last_build_of_the_same_inputs_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def history(_profile: str) -> Iterator[BuildRecord]:
        yield made(ONE, 1)
        pytest.fail("an older record was read")

    monkeypatch.setattr(recorded, "history", history)
    assert recorded.comparison(made(ONE, 2)).same


def test_other_inputs_are_not_compared() -> None:
    save(made(ONE, 0, OTHER))
    assert recorded.comparison(made(TWO, 1)) == Comparison(True, NOTHING)


def test_a_build_of_an_image_by_tag_is_not_compared() -> None:
    moved = {"replaced": {"base": "docker-image://base:1", "py-cuda": "/a/folder"}}
    save(made(ONE, 0).model_copy(update=moved))
    said = recorded.comparison(made(TWO, 1).model_copy(update=moved))
    assert said.same
    assert "without a digest, base may be another image" in said.sentence
    pinned = {"replaced": {"base": "docker-image://base:1@sha256:" + "0" * 64}}
    assert not recorded.comparison(made(TWO, 1).model_copy(update=pinned)).same


def test_what_was_verified_is_read_back_for_each_profile() -> None:
    recorded.remember(made(ONE, 0))
    recorded.remember(made(TWO, 1, OTHER).model_copy(update={"profile": "runpod"}))
    assert {name: each.digest for name, each in recorded.read().items()} == {
        "sandbox": ONE,
        "runpod": TWO,
    }
    assert "verified.toml" in recorded.comparison(made(ONE, 2)).sentence
    assert not recorded.comparison(made(TWO, 2)).same


def test_an_image_that_is_not_the_verified_one_of_its_inputs_is_a_check_that_says_no() -> None:
    recorded.remember(made(ONE, 0))
    recorded.hold_to_verified(made(ONE, 1))
    recorded.hold_to_verified(made(TWO, 1, OTHER))
    with pytest.raises(CheckFailed, match="not the image that was verified") as failure:
        recorded.hold_to_verified(made(TWO, 1))
    assert "--verify" in failure.value.hint


def test_a_file_that_cannot_be_read_is_named() -> None:
    recorded.VERIFIED.write_text("[sandbox]\ndigest = 1\n")
    with pytest.raises(BadInput, match=r"verified\.toml cannot be read"):
        recorded.read()


def test_a_record_of_an_older_version_is_passed_over() -> None:
    path = save(made(ONE, 0))
    path.write_text('{"schema_version": 1}')
    assert list(records.history("sandbox")) == []


def test_an_image_is_known_to_be_of_other_inputs_than_there_are_now() -> None:
    workspace = load()
    assert recorded.is_of_now(workspace, made(ONE, 0))
    app = RECIPE.parts["app"]
    items = {**app.items, "handler.py": next(iter(app.items.values()))}
    edited = RECIPE.model_copy(
        update={"parts": {**RECIPE.parts, "app": app.model_copy(update={"items": items})}}
    )
    assert edited != RECIPE
    assert not recorded.is_of_now(workspace, made(ONE, 0, edited))
    # An image of replaced inputs is held against the same replacements.
    replaced = {"model": "/a/folder"}
    of_folder = made(ONE, 0, recipe(workspace, "sandbox", replaced))
    assert not recorded.is_of_now(workspace, of_folder)
    assert recorded.is_of_now(workspace, of_folder.model_copy(update={"replaced": replaced}))
    # What an older schema does not tell counts as the same.
    assert recorded.is_of_now(workspace, of_folder.model_copy(update={"recipe": None}))
