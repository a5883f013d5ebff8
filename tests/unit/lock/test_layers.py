"""Every package goes to exactly one layer group."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.build.contexts import groups
from scripts.lock.layers import WORKER, split
from scripts.lock.lockfile import Pin, locked
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Target, load, targets
from scripts.workspace.paths import DOCKER

names = st.lists(st.text("abc-", min_size=1, max_size=6), unique=True, min_size=1)


def pin(name: str) -> Pin:
    return Pin(name, "1", f"{name}==1", ("sha256:0",))


@given(names=names)
def test_the_groups_together_are_exactly_the_lock(names: list[str]) -> None:
    lock = [pin(name) for name in names]
    found = split(lock, {"first": [names[0]], "rest": ["*"]} if len(names) > 1 else {"rest": ["*"]})
    assert sorted(each.name for group in found.values() for each in group) == sorted(names)


def test_the_first_group_that_matches_wins() -> None:
    found = split([pin("torch"), pin("numpy")], {"a": ["torch"], "b": ["*"]})
    assert [each.name for each in found["a"]] == ["torch"]
    assert [each.name for each in found["b"]] == ["numpy"]


def test_a_package_that_no_group_takes_is_refused() -> None:
    with pytest.raises(BadInput, match=r"no pattern of .layers. matches numpy"):
        split([pin("numpy")], {"a": ["torch"]})


def test_a_pattern_that_takes_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="match no package: a: torhc"):
        split([pin("numpy")], {"a": ["torhc"], "b": ["*"]})


@pytest.mark.parametrize("name", ["sandbox", "runpod"])
def test_the_profiles_separate_what_moves_apart(name: str) -> None:
    workspace = load()
    found = groups(workspace, workspace.profile(name))
    members = {group: {each.name for each in pins} for group, pins in found.items()}
    assert all(each.startswith("nvidia-") for each in members["py-cuda"])
    assert members["py-torch"] == {"torch", "torchvision", "triton"}
    assert members["py-attention"] == {"xformers"}
    assert {"gradio", "numpy", "pillow", "transformers"} <= members["py-large"]
    assert members["py-moving"] == {"llvmlite", "scipy"}
    assert {"fastapi", "gradio-client"} <= members["py-webui"]
    assert "runpod" in members["py-worker"]
    assert members["py-clip"] == {"clip-anytorch"}


@pytest.mark.parametrize(
    "target",
    [each for each in targets(load()) if each.environment == "webui"],
    ids=lambda each: each.name,
)
def test_the_groups_fit_every_stack_that_a_profile_may_choose(target: Target) -> None:
    assert all(split(locked(target.name), load().layers).values())


def test_the_image_has_a_stage_of_the_same_form_and_a_copy_for_every_group() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    stages = re.findall(r"^FROM base AS (py-\S+)\n(RUN (?:.+\\\n)+.+)\n", text, re.MULTILINE)
    assert [name for name, _ in stages] == [*load().layers, WORKER]
    assert re.findall(r"^COPY --link --from=(py-\S+) /layer /$", text, re.MULTILINE) == [
        *load().layers,
        WORKER,
    ]
    forms = {run.replace(name, "NAME") for name, run in stages if name != WORKER}
    assert len(forms) == 1


def test_a_group_without_a_stage_is_refused() -> None:
    workspace = load()
    layers = {"py-fastapi": ("fastapi",), **workspace.layers}
    changed = workspace.model_copy(update={"layers": layers})
    with pytest.raises(BadInput, match=r"layers\.py-fastapi: docker/Dockerfile has no stage"):
        groups(changed, changed.profile("sandbox"))
