"""Recipes of another commit, and of versions that are not locked."""

from pathlib import Path

import pytest

from scripts.build import supposed
from scripts.build.recipe import Recipe, recipe
from scripts.lock.lockfile import locked
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load


def test_the_recipe_of_this_commit_is_told_from_its_archive() -> None:
    told = supposed.at("HEAD", "sandbox")
    assert isinstance(told, Recipe)
    assert told.layers().keys() == recipe(load(), "sandbox").layers().keys()


def test_what_bench_wants_today_stops_no_comparison_with_a_commit_of_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpack = supposed._unpack

    def of_before(ref: str, folder: Path) -> None:
        unpack(ref, folder)
        file = folder / "workspace.toml"
        file.write_text(file.read_text().partition("[bench]")[0] + '[bench]\nsuites = ["gone"]\n')

    monkeypatch.setattr(supposed, "_unpack", of_before)
    assert (
        supposed.at("HEAD", "sandbox").layers().keys() == recipe(load(), "sandbox").layers().keys()
    )


@pytest.mark.parametrize(
    ("ref", "said"), [("nowhere", "git knows no commit nowhere"), ("-x", "git knows no commit -x")]
)
def test_a_ref_that_is_not_there_is_refused(ref: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        supposed.at(ref, "sandbox")


def test_without_a_setting_the_locks_are_those_that_are_there() -> None:
    assert supposed.locks(load(), "sandbox", [])("tools") == locked("tools")


def test_the_packages_that_settings_name_are_told_as_locks_name_them() -> None:
    settings = ["worker.RunPod=1", "webui.pillow_avif.plugin=2"]
    assert supposed.named(load(), settings) == {"runpod", "pillow-avif-plugin"}


def test_two_versions_of_a_package_are_refused() -> None:
    with pytest.raises(BadInput, match="one package two versions"):
        supposed.locks(load(), "sandbox", ["worker.runpod=1", "worker.runpod=2"])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("runpod=1", "give ENVIRONMENT.PACKAGE=VERSION"),
        ("worker.runpod", "give ENVIRONMENT.PACKAGE=VERSION"),
        ("worker.=1", "give ENVIRONMENT.PACKAGE=VERSION"),
        ("worker.runpod=", "give ENVIRONMENT.PACKAGE=VERSION"),
        ("worke.runpod=1", "there is no environment worke. Did you mean worker?"),
        ("worker.runpd=1", "that package is not locked. Did you mean runpod?"),
        ("worker.torch=1", "--set worker.torch: that package is not locked."),
        ("dev.ruff=1", "nothing of it comes into the image of sandbox; known are build, sandbox,"),
    ],
)
def test_a_setting_that_names_nothing_is_refused(setting: str, said: str) -> None:
    with pytest.raises(BadInput) as failure:
        supposed.locks(load(), "sandbox", [setting])
    assert said in failure.value.message
