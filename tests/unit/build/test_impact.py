"""What a change makes a build do again, told from recipes."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.build.impact import Effect, Measured, configuration_changes, effects, show
from scripts.build.recipe import FOLDER, FORM, IMAGE, Item, Part, Recipe, recipe
from scripts.lock.lockfile import Pin, locked
from scripts.workspace.model import Workspace, load
from scripts.workspace.paths import ROOT

SANDBOX = recipe(load(), "sandbox")
LAYERS = list(SANDBOX.layers())


def with_part(made: Recipe, name: str, **items: Item | None) -> Recipe:
    """Return the recipe with other items in a part; None takes one away."""
    changed = {**made.parts[name].items, **items}
    part = Part(items={key: item for key, item in changed.items() if item is not None})
    return made.model_copy(update={"parts": {**made.parts, name: part}})


def changes(after: Recipe, before: Recipe = SANDBOX) -> dict[str, str]:
    """Return what happens to each layer to which anything happens."""
    found = effects(before, after)
    assert [each.layer for each in found] == list(after.layers())
    return {each.layer: each.change for each in found if each.change != "no"}


def effect(
    after: Recipe, layer: str, measured: Measured | None = None, before: Recipe = SANDBOX
) -> Effect:
    (found,) = [each for each in effects(before, after, measured) if each.layer == layer]
    return found


NEW = Item(value="2.0 abcdef", size=1000)


def test_the_layers_are_those_of_the_image_from_the_bottom_up() -> None:
    assert LAYERS[:3] == ["base", "system", "layout"]
    assert LAYERS[-3:] == ["model", "source", "app"]
    assert set(load().layers) < set(LAYERS)


def test_nothing_happens_when_nothing_changed() -> None:
    assert changes(SANDBOX) == {}


@pytest.mark.parametrize(
    ("part", "layer"),
    [
        ("app", "app"),
        ("model", "model"),
        ("locks/py-worker", "py-worker"),
        ("locks/py-cuda", "py-cuda"),
        ("locks/py-clip", "tokenizer"),
        ("locks/py-source", "source"),
        (FOLDER, "source"),
        ("debs", "system"),
    ],
)
def test_a_change_of_one_part_makes_one_layer_new(part: str, layer: str) -> None:
    assert changes(with_part(SANDBOX, part, thing=NEW)) == {layer: "new"}


def test_a_new_tool_runs_every_step_that_mounts_it_again_on_the_same_packages() -> None:
    after = with_part(SANDBOX, "tools/install", **{"install/seal": NEW})
    found = changes(after)
    untouched = {"base", "model", "app"}
    assert found == {layer: "again" for layer in LAYERS if layer not in untouched}
    assert effect(after, "py-torch").reasons == ("tools: install/seal changed",)


def test_a_new_base_makes_what_lies_on_it_new_and_runs_the_rest_again() -> None:
    found = changes(with_part(SANDBOX, "base", dash=NEW))
    assert found.pop("base") == "new"
    assert found.pop("system") == "new"
    assert found == {layer: "again" for layer in LAYERS[2:] if layer not in ("model", "app")}


def test_another_instruction_runs_its_stage_again_and_says_so() -> None:
    stage = SANDBOX.stages["py-torch"]
    other = stage.model_copy(update={"instructions": (*stage.instructions, "RUN true")})
    after = SANDBOX.model_copy(update={"stages": {**SANDBOX.stages, "py-torch": other}})
    assert changes(after) == {"py-torch": "again"}
    assert effect(after, "py-torch").reasons == (
        "docker/Dockerfile: the steps of py-torch changed",
    )


def test_another_setting_of_the_image_changes_its_configuration_and_no_layer() -> None:
    stage = SANDBOX.stages[IMAGE]
    other = stage.model_copy(update={"instructions": (*stage.instructions, "ENV A=1")})
    after = SANDBOX.model_copy(update={"stages": {**SANDBOX.stages, IMAGE: other}})
    assert changes(after) == {}
    assert configuration_changes(SANDBOX, after)
    assert not configuration_changes(SANDBOX, SANDBOX)


def test_a_reason_names_the_package_with_both_versions() -> None:
    name, old = "torch", SANDBOX.parts["locks/py-torch"].items["torch"]
    found = effect(with_part(SANDBOX, "locks/py-torch", **{name: NEW}), "py-torch")
    assert found.reasons == (f"{name} {old.value.split()[0]} -> 2.0",)
    gone = effect(with_part(SANDBOX, "locks/py-torch", **{name: None}), "py-torch")
    assert gone.reasons == (f"{name} goes",)
    same = Item(value=old.value.split()[0] + " otherhash", size=old.size)
    found = effect(with_part(SANDBOX, "locks/py-torch", **{name: same}), "py-torch")
    assert found.reasons == (f"{name} changed",)


@given(stored=st.integers(0, 10**10), thing=st.integers(0, 10**9))
def test_a_layer_grows_by_what_comes_and_shrinks_by_what_goes(stored: int, thing: int) -> None:
    with_it = with_part(SANDBOX, "locks/py-worker", thing=Item(value="1 a", size=thing))
    sizes = {"py-worker": stored}
    comes = effect(with_it, "py-worker", Measured(SANDBOX, sizes))
    assert comes.size == stored + thing
    goes = effect(SANDBOX, "py-worker", Measured(with_it, sizes), before=with_it)
    assert goes.size == max(0, stored - thing)


def test_what_was_built_is_as_large_as_it_is_whatever_it_is_held_against() -> None:
    """Against a commit of before the last build, the last build's layer has its own size."""
    before = with_part(SANDBOX, "locks/py-worker", runpod=None)
    built = Measured(SANDBOX, {"py-worker": 1234})
    assert effect(SANDBOX, "py-worker", built, before=before).size == 1234


def test_what_was_asked_for_is_the_first_reason_of_those_that_are_shown() -> None:
    moved = dict.fromkeys(("aiohttp", "boto3", "click", "httpx", "runpod"), NEW)
    after = with_part(SANDBOX, "locks/py-worker", **moved)
    (found,) = [
        each for each in effects(SANDBOX, after, first={"runpod"}) if each.layer == "py-worker"
    ]
    assert [reason.split()[0] for reason in found.reasons] == ["runpod", *list(moved)[:-1]]


def test_what_builds_sdists_concerns_the_layers_that_have_some() -> None:
    def bumped(name: str) -> list[Pin]:
        pins = list(locked(name))
        return [replace(pin, version="99") for pin in pins] if name == "build" else pins

    after = recipe(load(), "sandbox", locks=bumped)
    assert changes(after) == {"py-webui": "new"}
    reasons = effect(after, "py-webui").reasons
    assert any(reason.startswith("setuptools (builds sdists) ") for reason in reasons)


def test_a_layer_that_is_made_again_is_said_to_be_able_to_change() -> None:
    stage = SANDBOX.stages["layout"]
    other = stage.model_copy(update={"instructions": (*stage.instructions, "RUN touch /layer/a")})
    after = SANDBOX.model_copy(update={"stages": {**SANDBOX.stages, "layout": other}})
    out = io.StringIO()
    show(effects(SANDBOX, after), Console(file=out, width=200))
    assert "0 of 14 layers are new" in out.getvalue()
    assert "layout: made again from the same packages and files." in out.getvalue()
    assert "0.00 MB more at most." in out.getvalue()


def test_another_label_or_compression_changes_the_configuration_and_no_layer() -> None:
    for name in ("label sdkiln.lock", "layers", "docker/docker-bake.hcl"):
        after = with_part(SANDBOX, FORM, **{name: NEW})
        assert changes(after) == {}
        assert configuration_changes(SANDBOX, after)
        assert after.digest != SANDBOX.digest


def test_without_a_stored_layer_it_is_as_large_as_its_packages() -> None:
    after = with_part(SANDBOX, "locks/py-worker", thing=NEW)
    assert effect(after, "py-worker").size == SANDBOX.parts["locks/py-worker"].size + 1000


def test_a_layer_of_unknown_size_is_told_as_such() -> None:
    after = with_part(SANDBOX, "app", thing=Item(value="x", size=None))
    assert effect(after, "app").size is None


def test_a_layer_that_was_not_there_is_new() -> None:
    before = SANDBOX.stages[IMAGE]
    takes = tuple(each for each in before.takes if each != "py-moving")
    other = before.model_copy(update={"takes": takes})
    old = SANDBOX.model_copy(update={"stages": {**SANDBOX.stages, IMAGE: other}})
    assert changes(SANDBOX, old) == {"py-moving": "new"}
    # And the other way round it goes, which costs nothing.
    *kept, gone = effects(SANDBOX, old)
    assert {each.change for each in kept} == {"no"}
    assert (gone.layer, gone.change, gone.size) == ("py-moving", "goes", 0)
    out = io.StringIO()
    show([*kept, gone], Console(file=out, width=200))
    assert re.search(r"^py-moving +goes ", out.getvalue(), re.MULTILINE)
    assert "0 of 13 layers are new" in out.getvalue()


def test_a_replaced_stage_is_what_it_is_replaced_by(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "mark").write_text("instead")
    one = recipe(load(), "sandbox", {"py-torch": str(folder)})
    assert changes(one) == {"py-torch": "new"}
    assert changes(recipe(load(), "sandbox", {"py-torch": str(folder)}), one) == {}
    (folder / "mark").write_text("something else")
    assert changes(recipe(load(), "sandbox", {"py-torch": str(folder)}), one) == {"py-torch": "new"}


def test_a_recipe_does_not_depend_on_where_it_is_told_and_is_read_back_whole() -> None:
    assert Recipe.model_validate_json(SANDBOX.model_dump_json()) == SANDBOX
    assert str(ROOT) not in SANDBOX.model_dump_json()


def test_a_launch_option_changes_the_app_alone() -> None:
    workspace: Workspace = load()
    launch = workspace.launch.model_copy(update={"options": (*workspace.launch.options, "--x")})
    after = recipe(workspace.model_copy(update={"launch": launch}), "sandbox")
    assert changes(after) == {"app": "new"}
    assert effect(after, "app").reasons == ("launch.json changed",)
