"""What a build shares: arguments that are refused, and what they lay over a bake definition."""

import argparse
import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.build import cache, exchange, registry
from scripts.build.buildx import IMAGE_FORM
from scripts.build.engine import Engine
from scripts.build.exchange import Exchange
from scripts.build.options import parser
from scripts.workspace.errors import BadInput

ENGINE = Engine("unix:///run/x.sock", Path("/bin/docker"), embedded=False)
ARCHIVE = Path("/made/image.tar")


def definition() -> dict[str, Any]:
    image = {"contexts": {}, "tags": ["sdkiln-sandbox:latest"], "output": ["type=image"]}
    return {"target": {"_common": {"args": {}}, "rootfs": {"context": "/x"}, "image": image}}


def parsed(*arguments: str) -> Exchange:
    args: argparse.Namespace = parser().parse_args(list(arguments))
    return exchange.parse(args)


def targets(shared: Exchange, engine: Engine = ENGINE) -> dict[str, dict[str, Any]]:
    given = definition()
    before = copy.deepcopy(given)
    found: dict[str, dict[str, Any]] = exchange.laid_over(given, shared, engine, ARCHIVE)["target"]
    assert given == before
    return found


def test_each_target_has_a_cache_of_its_own_in_a_registry() -> None:
    found = targets(parsed("--cache-to=host:5000/a/b:tag", "--cache-from=host:5000/a/b:tag"))
    for name in ("rootfs", "image"):
        (written,), (read,) = found[name]["cache-to"], found[name]["cache-from"]
        assert written.startswith(f"type=registry,ref=host:5000/a/b:tag-{name},mode=max,")
        assert read == f"type=registry,ref=host:5000/a/b:tag-{name}"
    assert "cache-to" not in found["_common"]


def test_a_cache_is_compressed_as_the_image_is() -> None:
    (written,) = targets(parsed("--cache-to=localhost/b"))["image"]["cache-to"]
    assert IMAGE_FORM in written
    assert "image-manifest=true" in written
    (written,) = targets(parsed("--cache-to=./b"))["image"]["cache-to"]
    assert IMAGE_FORM in written
    assert "image-manifest" not in written


def test_a_folder_is_read_for_the_targets_whose_cache_is_there(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "index.json").write_text("{}")
    found = targets(parsed(f"--cache-from={tmp_path}"))
    assert found["image"]["cache-from"] == [f"type=local,src={tmp_path}/image"]
    assert found["rootfs"]["cache-from"] == []


def test_a_folder_that_is_not_there_or_holds_no_cache_is_named(tmp_path: Path) -> None:
    empty, filled = tmp_path / "empty", tmp_path / "filled"
    (empty / "image").mkdir(parents=True)
    (filled / "image").mkdir(parents=True)
    (filled / "image" / "index.json").write_text("{}")
    places = [tmp_path / "gone", empty, filled]
    shared = parsed("--cache-from=a.io/x:1", *(f"--cache-from={each}" for each in places))
    assert list(exchange.without_cache(shared)) == places[:2]


def test_several_caches_are_read_in_their_order() -> None:
    found = targets(parsed("--cache-from=a.io/x:1", "--cache-from=b.io/x:1"))
    assert [each.split("ref=")[1][0] for each in found["image"]["cache-from"]] == ["a", "b"]


@pytest.mark.parametrize("place", ["/a/b", "./b", "../b", "~/b", "."])
def test_what_begins_as_a_path_is_a_folder(place: str) -> None:
    assert cache.parse("--cache-to", place).place == Path(place).expanduser().resolve()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("docker.io/me/x", "docker.io/me/x:latest"),
        ("docker.io/x:1", "docker.io/library/x:1"),
        ("localhost/x:1", "localhost/x:1"),
        ("host:5000/a/b-c:1.2", "host:5000/a/b-c:1.2"),
    ],
)
def test_a_reference_means_what_it_means_to_docker(given: str, meant: str) -> None:
    assert cache.parse("--cache-to", given).place == meant


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--push=worker"], "--push worker: that names no registry"),
        (["--push=me/worker:1"], "--push me/worker:1: that names no registry"),
        (["--push=a.io/Worker:1"], "in lower case"),
        (["--push=a.io/x@sha256:00"], "give a tag"),
        (["--push=a.io/"], "--push"),
        (["--cache-to=cache"], "--cache-to cache: that names no registry"),
        (["--cache-from=some/folder"], "--cache-from some/folder: that names no registry"),
        (["--attest=sbom"], "--attest sbom: attestations are kept beside the image in a registry"),
        (["--verify", "--builder=x", "--push=a.io/x:1"], "--verify compares images in the engine"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(BadInput) as failure:
        parsed(*arguments)
    assert said in failure.value.message


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        tag = registry.parse(text, "--push")
    except BadInput:
        return
    assert registry.parse(f"{tag.index}/{tag.repository}:{tag.tag}", "--push") == tag


def test_the_engine_keeps_its_image_and_pushes_it_afterwards() -> None:
    image = targets(parsed("--push=a.io/x:1"))["image"]
    assert (image["tags"], image["output"]) == (["sdkiln-sandbox:latest"], ["type=image"])


def test_a_builder_pushes_the_image_itself_under_the_name_that_is_asked_for() -> None:
    builder = Engine(ENGINE.host, ENGINE.program, embedded=False, builder="away")
    image = targets(parsed("--push=a.io/x:1"), builder)["image"]
    assert image["tags"] == ["a.io/x:1"]
    assert image["output"] == [f"type=image,push=true,{IMAGE_FORM}"]


def test_a_builder_without_push_hands_the_image_over_in_the_same_form() -> None:
    builder = Engine(ENGINE.host, ENGINE.program, embedded=False, builder="away")
    image = targets(Exchange(), builder)["image"]
    assert image["output"] == [f"type=oci,dest={ARCHIVE},{IMAGE_FORM}"]


def test_a_stage_that_is_built_for_itself_is_not_handed_over_by_a_builder() -> None:
    builder = Engine(ENGINE.host, ENGINE.program, embedded=False, builder="away")
    given = definition()
    given["target"]["image"] |= {"tags": [], "output": ["type=cacheonly"]}
    image = exchange.laid_over(given, Exchange(), builder, ARCHIVE)["target"]["image"]
    assert image["output"] == ["type=cacheonly"]


def test_a_builder_is_found_by_the_users_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", "/the/users")
    builder = Engine(ENGINE.host, ENGINE.program, embedded=True, builder="away").environment()
    assert builder["BUILDX_BUILDER"] == "away"
    assert builder["DOCKER_CONFIG"] == "/the/users"
    assert ENGINE.environment()["BUILDX_BUILDER"] == "default"


@pytest.mark.parametrize(
    "way", ["--target=layout", "--shell=layout", "--tree", "--history", "--impact"]
)
def test_what_would_be_passed_over_is_refused_with_both_options(way: str) -> None:
    with pytest.raises(BadInput, match=f"--push has no use with {way.partition('=')[0]}"):
        parsed(way, "--push=host/a:b")
    if way != "--target=layout":
        with pytest.raises(BadInput, match="--cache-from has no use with"):
            parsed(way, "--cache-from=./a")


@pytest.mark.parametrize("way", ["--shell=layout", "--tree", "--history", "--impact"])
def test_a_builder_is_of_no_use_where_nothing_is_built_or_a_container_is_run(way: str) -> None:
    with pytest.raises(BadInput, match=f"--builder has no use with {way.partition('=')[0]}"):
        parsed(way, "--builder=away")


def test_a_stage_may_be_built_from_a_cache_and_does_not_replace_the_images() -> None:
    assert parsed("--target=layout", "--cache-from=./a").cache_from
    with pytest.raises(BadInput, match="--target that of a stage alone would take"):
        parsed("--target=layout", "--cache-to=./a")
