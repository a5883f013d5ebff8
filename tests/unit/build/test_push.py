"""A push is held against what the registry has afterwards, and recorded only when that fits."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from scripts.build import push, record, registry
from scripts.build.engine import Engine
from scripts.build.record import BuildRecord, latest
from scripts.build.registry import Blob, parse
from scripts.workspace.errors import BadInput, CheckFailed
from scripts.workspace.model import load
from tests.support.records import build_record

HELD = Blob("application/vnd.oci.image.manifest.v1+json", b"{}")
TAG = parse("localhost:1/worker:1", "--push")
# It has pushed the image by itself, so that no engine has to.
BUILDER = Engine("unix:///nowhere.sock", Path("/bin/docker"), embedded=False, builder="away")


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in of a registry, which has one manifest; no record of this machine has a say."""
    monkeypatch.setattr(registry, "manifest", lambda _tag: HELD)
    monkeypatch.setattr(record, "BUILDS", tmp_path)


def published(digest: str, kinds: Sequence[str] = (), by: Engine = BUILDER) -> BuildRecord:
    made = build_record(digest=digest, engine="builder away")
    return push.publish(load(), by, made, TAG, kinds, Console(quiet=True))


def test_an_image_that_the_registry_has_is_recorded_with_where_it_is() -> None:
    assert published(HELD.digest).pushed == f"{TAG}@{HELD.digest}"
    found = latest("sandbox")
    assert found is not None
    assert found.pushed == f"{TAG}@{HELD.digest}"


def test_a_registry_that_has_another_image_than_was_pushed_is_a_check_that_says_no() -> None:
    ours = "sha256:" + "1" * 64
    with pytest.raises(CheckFailed) as failure:
        published(ours)
    assert HELD.digest in failure.value.message
    assert ours in failure.value.message
    assert latest("sandbox") is None


def test_what_cannot_be_attested_is_refused_before_the_image_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(push, "_push", lambda *_given: pytest.fail("it was sent"))
    with pytest.raises(BadInput, match="lockfiles are not those"):
        published(HELD.digest, ["sbom"], replace(BUILDER, builder=""))
