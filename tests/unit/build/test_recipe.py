"""A recipe changes with what a build is given, and with nothing else."""

import shutil
from pathlib import Path

import pytest

from scripts.build import contexts, debian
from scripts.build import recipe as module
from scripts.build.impact import configuration_changes, effects
from scripts.build.recipe import CHECK, Recipe, recipe
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load
from scripts.workspace.paths import DOCKER


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of docker/ from which contexts are made."""
    folder = tmp_path / "docker"
    shutil.copytree(DOCKER, folder)
    monkeypatch.setattr(contexts, "DOCKER", folder)
    monkeypatch.setattr(module, "ROOT", tmp_path)
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


@pytest.mark.parametrize("name", ["tiny_model.py", "Dockerfile"])
def test_a_comment_in_what_the_stand_in_is_not_made_of_changes_nothing(
    docker: Path, name: str
) -> None:
    before = sandbox()
    with (docker / "sandbox" / name).open("a") as file:
        file.write("# A comment.\n")
    assert changes(before) == {}


@pytest.mark.parametrize("name", ["webui.py", "standin/server.py"])
def test_what_the_stand_in_is_made_of_makes_its_layer_new(docker: Path, name: str) -> None:
    before = sandbox()
    with (docker / "sandbox" / name).open("a") as file:
        file.write("# A comment.\n")
    assert changes(before) == {"source": "new"}


def test_another_step_of_the_stand_in_runs_it_again_and_says_so(docker: Path) -> None:
    before, path = sandbox(), docker / "sandbox" / "Dockerfile"
    path.write_text(path.read_text().replace("compileall -q", "compileall -qq"))
    (found,) = [each for each in effects(before, sandbox()) if each.change != "no"]
    assert (found.layer, found.change) == ("source", "again")
    assert found.reasons == ("its Dockerfile: the steps of code changed",)


@pytest.mark.parametrize(
    ("tool", "again"),
    [("check-layers.py", set()), ("make-tokenizer.py", {"tokenizer"})],
)
def test_a_tool_concerns_the_steps_that_run_it_and_no_others(
    docker: Path, tool: str, again: set[str]
) -> None:
    before = sandbox()
    with (docker / "tools" / tool).open("a") as file:
        file.write("# A comment.\n")
    assert changes(before) == dict.fromkeys(again, "again")
    assert before.key(CHECK) != sandbox().key(CHECK)


def test_a_stand_in_without_a_dockerfile_is_refused(docker: Path) -> None:
    (docker / "sandbox" / "Dockerfile").unlink()
    with pytest.raises(BadInput, match="docker/sandbox has no Dockerfile"):
        sandbox()


def test_another_option_of_the_bootstrap_makes_the_base_and_what_lies_on_it_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, option = sandbox(), "--dpkgopt=path-exclude=/usr/share/info/*"
    monkeypatch.setattr(debian, "OPTIONS", (*debian.OPTIONS, option))
    found = effects(before, sandbox())
    assert {each.layer for each in found if each.change == "new"} == {"base", "system"}
    assert found[0].reasons == (f"mmdebstrap {option} is new",)
    assert not configuration_changes(before, sandbox())


def test_a_replaced_context_is_told_of_as_a_whole(tmp_path: Path) -> None:
    before = sandbox()
    after = recipe(load(), "sandbox", {"locks": str(tmp_path)})
    found = {each.layer: each.change for each in effects(before, after)}
    assert {found[group] for group in load().layers} == {"new"}
