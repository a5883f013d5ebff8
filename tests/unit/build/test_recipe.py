"""A recipe changes with what a build is given, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from scripts.build import contexts
from scripts.build.impact import effects
from scripts.build.recipe import Recipe, recipe
from scripts.workspace.model import load
from scripts.workspace.paths import DOCKER


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of docker/ from which contexts are made."""
    folder = tmp_path / "docker"
    shutil.copytree(DOCKER, folder)
    monkeypatch.setattr(contexts, "DOCKER", folder)
    return folder


def sandbox() -> Recipe:
    return recipe(load(), "sandbox")


def changes(before: Recipe) -> dict[str, str]:
    return {each.layer: each.change for each in effects(before, sandbox()) if each.change != "no"}


def test_a_file_that_becomes_a_program_is_another_one(docker: Path) -> None:
    before, handler = sandbox(), docker / "worker" / "handler.py"
    handler.chmod(0o755)
    assert changes(before) == {"app": "new"}


def test_what_others_may_do_with_a_file_changes_nothing(docker: Path) -> None:
    before, handler = sandbox(), docker / "worker" / "handler.py"
    handler.chmod(0o600)
    assert changes(before) == {}
