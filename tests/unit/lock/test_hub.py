"""hub.json: what RunPod's Hub would deploy is read, and what is wrong with it is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lock import facts
from scripts.lock.facts import Version
from scripts.lock.hub import Hub, read, targets
from scripts.workspace.errors import BadInput

FACTS = facts.load()
LISTING: dict[str, Any] = {
    "title": "A worker",
    "description": "Made up",
    "type": "serverless",
    "category": "image",
    "config": {
        "runsOn": "GPU",
        "containerDiskInGb": 20,
        "gpuIds": "ADA_24,AMPERE_24,-NVIDIA L4",
        "gpuCount": 1,
        "allowedCudaVersions": ["12.8", "12.10"],
    },
}


def config(**changes: object) -> dict[str, Any]:
    """The listing with other values in its config; None takes a key out."""
    changed = {**LISTING["config"], **changes}
    return {
        **LISTING,
        "config": {key: value for key, value in changed.items() if value is not None},
    }


def parsed(folder: Path, listing: object) -> Hub:
    path = folder / "hub.json"
    path.write_text(listing if isinstance(listing, str) else json.dumps(listing))
    return read(path, FACTS)


def refused(folder: Path, listing: object) -> str:
    with pytest.raises(BadInput) as failure:
        parsed(folder, listing)
    assert failure.value.code == 2
    assert "hub.json" in failure.value.message
    return failure.value.message


def test_the_gpus_are_those_of_the_pools_less_the_ones_with_a_minus(tmp_path: Path) -> None:
    listing = parsed(tmp_path, LISTING)
    assert listing.gpus == {
        "ADA_24": ("NVIDIA GeForce RTX 4090",),
        "AMPERE_24": ("NVIDIA RTX A5000", "NVIDIA GeForce RTX 3090"),
    }
    assert listing.cuda == (Version(12, 8), Version(12, 10))


def test_without_a_list_of_cuda_versions_any_host_is_meant(tmp_path: Path) -> None:
    assert parsed(tmp_path, config(allowedCudaVersions=None)).cuda == ()


def test_keys_that_only_runpod_reads_are_let_through(tmp_path: Path) -> None:
    listing = {**config(env=[{"key": "A", "value": "b"}], presets=[]), "iconUrl": "icon.png"}
    assert parsed(tmp_path, listing) == parsed(tmp_path, LISTING)


def test_an_unknown_gpu_pool_is_answered_with_the_nearest(tmp_path: Path) -> None:
    said = refused(tmp_path, config(gpuIds="ADA_24,BLACKWEL_96"))
    assert "config.gpuIds: there is no GPU pool BLACKWEL_96. Did you mean BLACKWELL_96?" in said


def test_a_display_name_in_place_of_a_pool_is_refused(tmp_path: Path) -> None:
    assert "no GPU pool RTX 4090." in refused(tmp_path, config(gpuIds="RTX 4090"))


def test_an_unknown_gpu_with_a_minus_is_answered_with_the_nearest(tmp_path: Path) -> None:
    said = refused(tmp_path, config(gpuIds="ADA_24,AMPERE_24,-NVIDIA RTX 4090"))
    assert "no GPU pool has the GPU NVIDIA RTX 4090. Did you mean NVIDIA" in said


@pytest.mark.parametrize("gpu_ids", ["", " , ", "ADA_24,-NVIDIA GeForce RTX 4090", "-NVIDIA L4"])
def test_gpu_ids_that_leave_no_gpu_are_refused(tmp_path: Path, gpu_ids: str) -> None:
    assert "config.gpuIds leaves no GPU to run on" in refused(tmp_path, config(gpuIds=gpu_ids))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"gpuIds": None}, "config.gpuIds"),
        ({"gpuIds": ["ADA_24"]}, "config.gpuIds"),
        ({"gpuCount": 0}, "config.gpuCount"),
        ({"containerDiskInGb": "20"}, "config.containerDiskInGb"),
        ({"runsOn": "CPU"}, "config.runsOn"),
        ({"allowedCudaVersions": ["12"]}, "config.allowedCudaVersions.0"),
        ({"allowedCudaVersions": "12.8"}, "config.allowedCudaVersions"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(
    tmp_path: Path, changes: dict[str, object], key: str
) -> None:
    assert f"hub.json: {key}: " in refused(tmp_path, config(**changes))


@pytest.mark.parametrize("text", ["", "{", "[]", '"hub"', "\x00"])
def test_a_file_that_is_no_listing_is_refused(tmp_path: Path, text: str) -> None:
    refused(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"hub.json cannot be read: No such file"):
        read(tmp_path / "hub.json", FACTS)


@given(
    pools=st.lists(st.sampled_from(sorted(FACTS.pools)), min_size=1),
    without=st.sets(st.sampled_from(sorted(FACTS.gpus))),
    random=st.randoms(use_true_random=False),
)
def test_targets_do_not_depend_on_order_repetition_or_spaces(
    pools: list[str], without: set[str], random: Any
) -> None:
    ids = [*pools, *(f"-{gpu}" for gpu in without)]
    wanted = {gpu for pool in pools for gpu in FACTS.pools[pool]} - without
    random.shuffle(ids)
    try:
        found = targets(" , ".join([*ids, *ids]), "hub.json", FACTS)
    except BadInput:
        assert not wanted
    else:
        assert {gpu for gpus in found.values() for gpu in gpus} == wanted
        assert found.keys() <= set(pools)
