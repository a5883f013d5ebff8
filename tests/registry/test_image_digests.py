"""Tags looked up in a real registry on this machine: moved, deleted, without our platform."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from scripts.build.registry import INDEX, Blob, blob
from scripts.lock import images, lookup, pins
from scripts.lock.lockfile import Lockfile
from scripts.lock.lookup import LookUp, NotFound, Unreachable
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Image, load
from tests.support import oci
from tests.support.registry import LOGIN, Registry, running

REPOSITORY = "some/image"


def index(word: str, *architectures: str) -> tuple[Blob, list[oci.Image]]:
    made = [oci.image(architecture, word) for architecture in architectures]
    return oci.index(list(zip(architectures, made, strict=True))), made


def push(registry: Registry, tag: str, word: str, *architectures: str) -> Blob:
    """Put an index and its images under a tag."""
    made, members = index(word, *architectures)
    registry.push(REPOSITORY, members)
    registry.push_manifest(REPOSITORY, tag, made)
    return made


def look_up(registry: Registry, tag: str) -> lookup.Table:
    return images.look_up(Image(reference=f"{registry.host}/{REPOSITORY}:{tag}")).pin


def test_a_tag_is_pinned_by_the_digest_of_its_index(registry: Registry) -> None:
    made = push(registry, "both", "one", "amd64", "arm64")
    assert look_up(registry, "both") == {
        "reference": f"{registry.host}/{REPOSITORY}:both",
        "digest": made.digest,
    }


def test_a_tag_that_moved_is_pinned_where_it_is_now(registry: Registry) -> None:
    before = push(registry, "moves", "one", "amd64")
    assert look_up(registry, "moves")["digest"] == before.digest
    after = push(registry, "moves", "two", "amd64")
    assert look_up(registry, "moves")["digest"] == after.digest != before.digest


def test_an_image_of_one_platform_is_pinned_by_its_manifest(registry: Registry) -> None:
    made = oci.image("amd64", "alone")
    registry.push(REPOSITORY, [made])
    registry.push_manifest(REPOSITORY, "alone", made.manifest)
    assert look_up(registry, "alone")["digest"] == made.manifest.digest


def test_an_index_without_our_platform_says_what_it_is_for(registry: Registry) -> None:
    push(registry, "elsewhere", "one", "arm64", "s390x")
    with pytest.raises(NotFound, match="is for linux/arm64, linux/s390x; linux/amd64 is needed"):
        look_up(registry, "elsewhere")


def test_an_image_of_another_platform_says_what_it_is_for(registry: Registry) -> None:
    made = oci.image("arm64", "alone")
    registry.push(REPOSITORY, [made])
    registry.push_manifest(REPOSITORY, "alone-elsewhere", made.manifest)
    with pytest.raises(NotFound, match="is for linux/arm64; linux/amd64 is needed"):
        look_up(registry, "alone-elsewhere")


def test_an_attestation_beside_the_images_is_no_platform(registry: Registry) -> None:
    made, members = index("attested", "arm64")
    attestation = oci.image("unknown", "attestation")
    document = httpx2.Response(200, content=made.content).json()
    document["manifests"].append(
        {
            **attestation.manifest.descriptor(),
            "platform": {"os": "unknown", "architecture": "unknown"},
        }
    )
    registry.push(REPOSITORY, [*members, attestation])
    registry.push_manifest(REPOSITORY, "attested", blob(INDEX, document))
    with pytest.raises(NotFound, match="is for linux/arm64; linux/amd64 is needed"):
        look_up(registry, "attested")


def test_a_tag_that_was_deleted_is_not_found(registry: Registry) -> None:
    push(registry, "short-lived", "gone", "amd64")
    registry.delete(REPOSITORY, "short-lived")
    with pytest.raises(NotFound, match=f"there is no {registry.host}/{REPOSITORY}:short-lived"):
        look_up(registry, "short-lived")


@pytest.mark.parametrize("name", ["never/pushed:1", "Some/Image:1"])
def test_a_repository_that_is_not_there_is_not_found(registry: Registry, name: str) -> None:
    with pytest.raises(NotFound, match=registry.host):
        images.look_up(Image(reference=f"{registry.host}/{name}"))


def test_a_pin_moves_with_its_tag_and_a_deleted_tag_is_bad_input(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the lockfile on: kept, moved when it is named, refused when the tag is gone."""
    monkeypatch.setattr(pins, "LOCKFILES", tmp_path)
    before = push(registry, "whole", "one", "amd64")
    record = Image(reference=f"{registry.host}/{REPOSITORY}:whole")
    asked = load().model_copy(update={"images": {"base": record}})
    path = tmp_path / "images.toml"

    def compute(policy: LookUp) -> pins.Computed:
        return pins.compute_all({path: pins.inputs(asked)[path]}, asked, policy)

    def write(lock: Lockfile) -> None:
        path.write_text(lock.text())

    first = compute(lookup.ONLY_MISSING)
    write(first.locks[0])
    after = push(registry, "whole", "two", "amd64")
    assert compute(lookup.ONLY_MISSING).locks == first.locks
    named = LookUp(frozenset({"base"}))
    assert before.digest in first.locks[0].body
    assert after.digest in compute(named).locks[0].body
    registry.delete(REPOSITORY, "whole")
    with pytest.raises(BadInput, match=r"workspace\.toml: images\.base: there is no"):
        compute(named)
    assert compute(lookup.ONLY_MISSING).locks == first.locks


@pytest.fixture(scope="module")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that gives nothing without LOGIN."""
    with running(tmp_path_factory.mktemp("locked-registry"), with_login=True) as started:
        yield started


def test_a_password_of_docker_login_opens_a_registry(
    locked_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = push(locked_registry, "secret", "one", "amd64")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(Unreachable, match=f"docker login {locked_registry.host}"):
        look_up(locked_registry, "secret")
    auth = b64encode(":".join(LOGIN).encode()).decode()
    entry = f'{{"auths": {{"{locked_registry.host}": {{"auth": "{auth}"}}}}}}'
    (tmp_path / "config.json").write_text(entry)
    assert look_up(locked_registry, "secret")["digest"] == made.digest
