"""Budgets of layers: which names they may have, and what is over them."""

import pytest

from scripts.build.budget import check, hold_to_count, layer_names, over, unmeasured
from scripts.build.record import Layer
from scripts.workspace.errors import BadInput, CheckFailed
from scripts.workspace.model import Build, load, parse
from scripts.workspace.paths import ROOT


def layer(name: str, size: int | None) -> Layer:
    return Layer(name=name, digest="", size=size, unpacked=None, cached=False, seconds=0)


def test_every_layer_over_its_budget_is_named_with_both_figures() -> None:
    layers = [layer("py-torch", 900_100_000), layer("app", 999_999), layer("py-cuda", 3 * 10**9)]
    assert list(over(layers, {"py-torch": 790, "app": 1, "py-cuda": 2050.5})) == [
        "py-torch is 900.1 MB to pull; its budget is 790 MB.",
        "py-cuda is 3,000.0 MB to pull; its budget is 2,050.5 MB.",
    ]


def test_a_layer_of_just_its_budget_is_within_it() -> None:
    assert not list(over([layer("app", 1_000_000)], {"app": 1}))


def test_layers_without_a_budget_may_weigh_anything() -> None:
    assert not list(over([layer("model", 10**12)], {"app": 1}))


def test_the_layers_of_a_base_image_count_together() -> None:
    layers = [layer("base", 600_000), layer("base", 600_000)]
    assert list(over(layers, {"base": 1})) == ["base is 1.2 MB to pull; its budget is 1 MB."]


def test_a_layer_whose_size_is_unknown_is_told_and_not_passed() -> None:
    layers = [layer("app", None), layer("model", None)]
    assert unmeasured(layers, {"app": 1}) == ["app"]


def test_a_budget_of_a_layer_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"no layer py-touch\. Did you mean py-torch\?"):
        check(Build(layers=99, budget_mb={"py-touch": 1}), layer_names())


def test_the_budgets_of_this_workspace_are_of_layers_that_the_image_has() -> None:
    check(load().build, layer_names())


def test_more_layers_than_are_allowed_are_refused() -> None:
    with pytest.raises(BadInput, match=r"makes 3 layers, and build\.layers allows 2"):
        check(Build(layers=2), ["base", "system", "app"])


def test_an_image_is_held_to_the_layers_that_its_base_really_has() -> None:
    layers = [*[layer("base", 1)] * 4, layer("system", 1), layer("app", None)]
    hold_to_count("sdkiln-x:latest", layers, 6)
    with pytest.raises(CheckFailed, match=r"has 6 layers, 4 of them the base's, .* allows 5\."):
        hold_to_count("sdkiln-x:latest", layers, 5)


def test_layers_are_called_as_the_last_stage_takes_them() -> None:
    assert {"base", "system", "layout", "py-cuda", "tokenizer", "model", "app"} <= layer_names()
    assert "image" not in layer_names()


@pytest.mark.parametrize("figure", ["0", "-1", '"1"'])
def test_a_budget_is_a_number_above_zero(figure: str) -> None:
    text = (ROOT / "workspace.toml").read_text()
    with pytest.raises(BadInput, match=r"build\.budget_mb\.app"):
        parse(text.replace("\napp = 1\n", f"\napp = {figure}\n"), "workspace.toml")
