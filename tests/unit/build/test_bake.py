"""The bake definition: profiles differ in contexts alone, and each of them can be replaced."""

import json
from pathlib import Path

import pytest

from scripts.build import bake
from scripts.build.contexts import PLACES, replaceable
from scripts.build.options import parser
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load
from scripts.workspace.paths import ROOT

FOLDERS = {
    name: Path("/made") / name
    for name in ("tools", "locks", "debs", "model", "source", "app", "rootfs", "layouts")
}
SECRETS = {"ca": Path("/secrets/ca")}
IMAGE = "python:3.10.14-slim-bookworm@sha256:" + "0" * 64


def definition(profile: str, replaced: dict[str, str] | None = None) -> dict[str, object]:
    image = IMAGE if profile == "runpod" else None
    made = bake.definition(
        profile, load().profile(profile), FOLDERS, image, replaced or {}, SECRETS, "type=x"
    )
    assert json.loads(bake.render(made)) == made
    targets: dict[str, object] = made["target"]
    return targets


def contexts(targets: dict[str, object]) -> dict[str, str]:
    image = targets["image"]
    assert isinstance(image, dict)
    found: dict[str, str] = image["contexts"]
    return found


def test_the_sandbox_is_built_from_debian_packages_and_the_stand_in() -> None:
    found = contexts(definition("sandbox"))
    assert found["base"] == "oci-layout:///made/layouts/rootfs:latest"
    assert found["source"] == "oci-layout:///made/layouts/source:latest"


def test_runpod_is_built_from_an_image_by_digest_and_the_real_source() -> None:
    targets = definition("runpod")
    assert contexts(targets)["base"] == f"docker-image://{IMAGE}"
    assert contexts(targets)["source"] == "/made/source"
    assert targets.keys() == {"_common", "check", "image"}


def test_the_profiles_name_the_same_contexts() -> None:
    assert contexts(definition("sandbox")).keys() == contexts(definition("runpod")).keys()


def test_every_context_that_the_dockerfile_takes_is_given() -> None:
    text = (Path(bake.__file__).parents[2] / "docker" / "Dockerfile").read_text()
    stages = {line.split(" AS ")[1] for line in text.splitlines() if line.startswith("FROM")}
    taken = {word.split("from=")[1].split(",")[0] for word in text.split() if "from=" in word}
    taken |= {line.split()[1] for line in text.splitlines() if line.startswith("FROM")}
    assert taken - stages == contexts(definition("runpod")).keys()


@pytest.mark.parametrize(
    "name", ["base", "debs", "source", "model", "app", "py-torch", "tokenizer"]
)
def test_a_context_takes_the_place_of_any_input(name: str) -> None:
    assert contexts(definition("sandbox", {name: "/mine"}))[name] == "/mine"


def test_a_replaced_input_is_not_built() -> None:
    targets = definition("sandbox", {"base": "docker-image://x", "source": "/mine"})
    assert targets.keys() == {"_common", "check", "image"}


def test_every_input_and_every_stage_can_be_replaced() -> None:
    inputs = {"base", "debs", "source", "model", "app", "tools", "locks"}
    layers = {"system", "layout", "tokenizer", "py-worker", *load().layers}
    assert replaceable() == inputs | layers


def test_a_folder_and_an_image_are_told_apart(tmp_path: Path) -> None:
    given = [f"source={tmp_path}", "base=python:3.11-slim", "app=oci-layout:///x"]
    assert bake.replacements(given, replaceable()) == {
        "source": str(tmp_path),
        "base": "docker-image://python:3.11-slim",
        "app": "oci-layout:///x",
    }


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("source", "give NAME=PATH or NAME=IMAGE"),
        ("source=", "give NAME=PATH or NAME=IMAGE"),
        ("sorce=/tmp", "there is no input sorce. Did you mean source?"),
        ("source=/no/such/folder", "there is no folder /no/such/folder"),
        ("source=./nowhere:1", "there is no folder ./nowhere:1"),
        ("source=nowhere/folder", "there is no folder nowhere/folder; an image would have a tag"),
        ("py-clip=/tmp", "there is no input py-clip"),
        ("image=/tmp", "there is no input image"),
        ("check=/tmp", "there is no input check"),
        (f"source={__file__}", "is a file, not a folder"),
        ("source=https://u:TOKEN@host/x.git#main", "an address is no input; give a folder or"),
        ("sorce=https://u:TOKEN@host/x.git", "there is no input sorce. Did you mean source?"),
    ],
)
def test_a_context_that_cannot_be_is_refused(argument: str, said: str) -> None:
    with pytest.raises(BadInput, match="--context") as failure:
        bake.replacements([argument], replaceable())
    assert said in failure.value.message
    assert "TOKEN" not in failure.value.message


def test_an_image_without_a_digest_may_be_another_one_each_time() -> None:
    given = {
        "base": "docker-image://base:1",
        "app": "oci-layout:///x:latest",
        "py-cuda": "docker-image://u:1@sha256:" + "0" * 64,
        "model": "/a/folder",
    }
    assert bake.floating(given) == ["base", "app"]


def test_what_a_replaced_input_must_hold_is_told() -> None:
    text = (ROOT / "docs" / "building.md").read_text()
    told = " ".join(parser().format_help().split())
    for name, place in PLACES.items():
        assert place in told
        assert f"| `{name}` " in text
        assert f"`/{place}`" in text
    assert "PATH/layer" in told
    rows = text.partition("## Other inputs")[2].partition("\n## ")[0]
    assert {name for name in replaceable() - set(load().layers) if f"`{name}`" not in rows} <= {
        "py-worker"
    }
