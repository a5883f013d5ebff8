"""What is in an image by its pins: labels that follow from them alone, and a bill of materials."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from scripts.build import attest, sbom
from scripts.build.components import Component, components, digest
from scripts.build.labels import labels
from scripts.build.record import BuildRecord, lock_digest
from scripts.lock.lockfile import locked
from scripts.workspace.errors import BadInput
from scripts.workspace.git import git
from scripts.workspace.model import load
from tests.support.records import build_record

PROFILES = ("sandbox", "runpod")


def record(profile: str, replaced: dict[str, str] | None = None) -> BuildRecord:
    return build_record(
        profile=profile,
        image=f"sdkiln-{profile}:latest",
        lock_sha256="2" * 64,
        inputs_sha256="3" * 64,
        replaced=replaced or {},
        git_sha="4" * 40,
        utc="2026-01-02T03:04:05Z",
        seconds=1.0,
        engine="own, Docker 26.1",
    )


def purls(found: list[Component]) -> set[str]:
    return {each.purl for each in found}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_locked_package_of_the_image_is_a_part(profile: str) -> None:
    workspace = load()
    chosen = workspace.profile(profile)
    found = {(each.name, each.version) for each in components(workspace, profile, [])}
    for lock in (f"webui-{chosen.stack}-py{chosen.python}", f"worker-py{chosen.python}"):
        assert {(pin.name, pin.version) for pin in locked(lock)} <= found


def test_what_is_replaced_is_no_part() -> None:
    workspace = load()
    found = components(workspace, "sandbox", ["py-torch", "debs", "model"])
    assert not {"py-torch", "system", "model"} & {each.layer for each in found}
    assert not [each for each in components(workspace, "sandbox", ["locks"]) if "pypi" in each.purl]


def test_the_deployed_profile_names_its_base_its_sources_and_its_model() -> None:
    found = components(load(), "runpod", [])
    (base,) = [each for each in found if each.layer == "base"]
    assert base.purl.startswith("pkg:docker/python@sha256%3A")
    assert "pkg:github/automatic1111/stable-diffusion-webui@1c0a0c4c" in "".join(purls(found))
    (model,) = [each for each in found if each.layer == "model"]
    assert model.purl == "pkg:huggingface/XpucT/Deliberate#Deliberate_v6.safetensors"
    assert model.sha256


def test_another_hash_of_any_part_makes_another_digest() -> None:
    found = components(load(), "sandbox", [])
    for number in (0, len(found) // 2, len(found) - 1):
        changed = [*found]
        changed[number] = replace(found[number], sha256=("0" * 64,))
        assert digest(changed) != digest(found)


def test_labels_name_the_versions_that_people_ask_for_first() -> None:
    made = labels(load(), "runpod", [])
    assert made["sdkiln.webui"] == "v1.9.3"
    assert made["sdkiln.torch"] == "2.1.2"
    assert made["sdkiln.python"] == "3.10"
    assert made["sdkiln.runpod"]
    assert made["org.opencontainers.image.base.digest"].startswith("sha256:")


def test_labels_follow_from_the_inputs_alone() -> None:
    """A commit or a time among them would give the same inputs another digest."""
    text = json.dumps(labels(load(), "runpod", []))
    assert git("rev-parse", "HEAD", folder=Path.cwd()).stdout.strip() not in text
    assert not {"revision", "created", "source"} & set(text.replace('"', ".").split("."))


def test_labels_say_what_was_replaced_and_nothing_of_where_it_came_from() -> None:
    made = labels(load(), "sandbox", {"source": "/home/me", "py-torch": "/home/me/torch"})
    assert made["sdkiln.replaced"] == "py-torch,source"
    assert "sdkiln.torch" not in made
    assert "/home" not in json.dumps(made)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_bill_of_materials_is_valid_and_holds_every_part(profile: str) -> None:
    found = components(load(), profile, [])
    made = sbom.document(record(profile), found)
    document = JsonLikeDictParser().parse(json.loads(json.dumps(made)))
    assert validate_full_spdx_document(document, "SPDX-2.3") == []
    listed = {
        reference["referenceLocator"]
        for package in made["packages"]
        for reference in package.get("externalRefs", ())
    }
    assert listed == purls(found)


def test_the_bill_of_materials_says_what_it_does_not_know() -> None:
    workspace = load()
    replaced = {"py-torch": "/home/me"}
    made = sbom.document(record("runpod", replaced), components(workspace, "runpod", replaced))
    image = made["packages"][0]
    assert "Replaced when it was built, and not listed: py-torch." in image["comment"]
    assert "What the base image consists of is not listed." in image["comment"]
    assert "/home" not in json.dumps(made)


def test_the_provenance_names_the_commit_and_every_lockfile_and_no_path() -> None:
    made = attest.provenance(record("sandbox", {"source": "/home/me"}))
    definition = made["buildDefinition"]
    assert definition["externalParameters"]["replaced"] == ["source"]
    uris = {each["uri"] for each in definition["resolvedDependencies"]}
    assert {"lockfiles/worker-py3.11.txt", "lockfiles/debian.toml"} <= uris
    assert "/home" not in json.dumps(made)


def test_nothing_is_attested_by_other_locks_than_those_of_the_build() -> None:
    made = record("sandbox")
    with pytest.raises(BadInput, match="lockfiles are not those that sdkiln-sandbox:latest was"):
        attest.predicates(["provenance"], made, [])
    of_now = made.model_copy(update={"lock_sha256": lock_digest()})
    assert attest.predicates(["provenance"], of_now, []).keys() == {attest.SLSA}


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        ("https://user:secret@host/me/sdkiln.git", "https://host/me/sdkiln.git"),
        ("https://host:8443/me/sdkiln", "https://host:8443/me/sdkiln"),
        ("ssh://git@host/me/sdkiln", "ssh://host/me/sdkiln"),
        ("/home/me/sdkiln", ""),
        ("git@host:me/sdkiln.git", "ssh://host/me/sdkiln.git"),
    ],
)
def test_the_source_is_told_without_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str, told: str
) -> None:
    git("init", folder=tmp_path)
    git("remote", "add", "origin", origin, folder=tmp_path)
    monkeypatch.setattr(attest, "ROOT", tmp_path)
    assert attest.origin() == told


def test_annotations_hold_what_no_label_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attest, "origin", lambda: "https://host/me/sdkiln")
    made = attest.annotations(record("runpod"), {"sdkiln.webui": "v1.9.3"})
    assert made == {
        "org.opencontainers.image.created": "2026-01-02T03:04:05Z",
        "org.opencontainers.image.source": "https://host/me/sdkiln",
        "org.opencontainers.image.revision": "4" * 40,
        "org.opencontainers.image.version": "v1.9.3",
        "sdkiln.webui": "v1.9.3",
    }
