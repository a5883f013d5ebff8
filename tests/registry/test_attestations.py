"""Statements put beside an image in a real registry: the image stays, and a login is used."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.build import attest, registry
from scripts.build.registry import Blob
from scripts.lock.images import Tag
from scripts.workspace.errors import Failure
from tests.support import oci
from tests.support.registry import LOGIN, Registry, running
from tests.support.servers import REFUSING

SAID = {attest.SPDX: {"spdxVersion": "SPDX-2.3"}, attest.SLSA: {"runDetails": {}}}


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Registry]:
    """A registry that wants a login for everything."""
    folder = tmp_path / "registry"
    folder.mkdir()
    with running(folder, with_login=True) as started:
        yield started


@pytest.fixture
def tag(private: Registry) -> Tag:
    """A tag of a private registry that means one image."""
    image = oci.image("amd64")
    private.push_blob("a/b", image.config)
    private.push_manifest("a/b", "1", image.manifest)
    return registry.parse(f"{private.host}/a/b:1", "--push")


@pytest.fixture
def logged_in(tag: Tag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings that `docker login` leaves."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    auth = b64encode(":".join(LOGIN).encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {tag.host: {"auth": auth}}}))


@pytest.mark.usefixtures("logged_in")
def test_the_tag_means_an_index_of_the_same_image_and_its_statements(tag: Tag) -> None:
    image = registry.manifest(tag)
    digest = attest.attach(tag, image, SAID, {"key": "value"})
    index = registry.manifest(tag)
    assert index.digest == digest
    assert index.document["annotations"] == {"key": "value"}
    first, second = index.document["manifests"]
    assert first == image.descriptor(platform=attest.PLATFORM)
    assert registry.manifest(tag, image.digest) == image
    assert second["annotations"] == {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image.digest,
    }
    layers = registry.manifest(tag, second["digest"]).document["layers"]
    kinds = [layer["annotations"]["in-toto.io/predicate-type"] for layer in layers]
    assert kinds == list(SAID)


@pytest.mark.usefixtures("logged_in")
def test_attaching_again_makes_the_same_index(tag: Tag) -> None:
    image = registry.manifest(tag)
    assert attest.attach(tag, image, SAID, {}) == attest.attach(tag, image, SAID, {})


@pytest.mark.usefixtures("logged_in")
def test_what_was_put_is_what_the_registry_gives_back(tag: Tag) -> None:
    written = registry.blob(registry.CONFIG, {"b": 1, "a": [2]})
    registry.put_blob(tag, written)
    manifest = registry.blob(
        registry.MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": registry.MANIFEST,
            "config": written.descriptor(),
            "layers": [],
        },
    )
    registry.put_manifest(tag, manifest)
    assert registry.manifest(tag) == manifest


def test_without_a_login_the_registry_is_named_with_what_to_do(
    tag: Tag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(Failure) as failure:
        registry.put_blob(tag, Blob(registry.CONFIG, b"{}"))
    assert f"the registry {tag.host} refuses" in failure.value.message
    assert failure.value.hint.endswith(f"docker login {tag.host}")


def test_a_registry_that_is_not_there_is_named() -> None:
    with pytest.raises(Failure) as failure:
        registry.manifest(registry.parse(f"{REFUSING}/a/b:1", "--push"))
    assert f"the registry {REFUSING} gives no answer" in failure.value.message
