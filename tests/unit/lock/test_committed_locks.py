"""The committed lockfiles: complete, consistent with one another, and following from the inputs."""

import re

import pytest
from packaging.version import Version

from scripts.lock import pins, sdists
from scripts.lock.lockfile import locked
from scripts.lock.plan import plan
from scripts.workspace.model import load, targets


def test_every_lockfile_follows_from_the_inputs() -> None:
    assert plan(load()).late == {}


def test_the_webui_lock_has_the_versions_that_the_web_ui_pins() -> None:
    for python in ("3.10", "3.11"):
        versions = {pin.name: pin.version for pin in locked(f"webui-cu121-py{python}")}
        assert versions["torch"] == "2.1.2"
        assert versions["torchvision"] == "0.16.2"
        assert versions["xformers"] == "0.0.23.post1"
        assert versions["fastapi"] == "0.94.0"
        assert versions["transformers"] == "4.30.2"
        assert versions["setuptools"] == "69.5.1"


def test_every_sdist_that_is_described_is_locked() -> None:
    held = {(pin.name, pin.version) for target in targets(load()) for pin in locked(target.name)}
    assert {(name, row.version) for name, row in sdists.described().items()} <= held


@pytest.mark.parametrize("stack", load().stacks)
@pytest.mark.parametrize("python", ["3.10", "3.11"])
def test_the_cuda_libraries_are_of_one_toolkit(stack: str, python: str) -> None:
    """Those whose version is that of the toolkit; the others count on their own."""
    versions = {pin.name: pin.version for pin in locked(f"webui-{stack}-py{python}")}
    names = ("cuda-runtime", "cuda-nvrtc", "cuda-cupti", "nvtx", "nvjitlink")
    found = {Version(versions[f"nvidia-{name}-cu12"]).release[:2] for name in names}
    assert len(found) == 1


def test_the_sandbox_lock_shares_no_package_with_the_environment_below_it() -> None:
    webui = {pin.name for pin in locked("webui-cu121-py3.11")}
    assert not webui & {pin.name for pin in locked("sandbox-cu121-py3.11")}


def test_every_pin_of_an_image_a_source_and_a_model_is_a_digest() -> None:
    digest = r"[0-9a-f]{64}"
    for image in pins.entries("images").values():
        assert re.fullmatch(f"sha256:{digest}", image["digest"])
    for source in pins.entries("sources").values():
        assert re.fullmatch(r"[0-9a-f]{40}", source["commit"])
    for model in pins.entries("models").values():
        assert model["files"]
        assert all(re.fullmatch(digest, file["sha256"]) for file in model["files"])
    for package in pins.entries("debian").values():
        assert re.fullmatch(digest, package["sha256"])
        assert package["size"] > 0


def test_the_profiles_find_every_pin_that_they_name() -> None:
    workspace = load()
    for profile in workspace.profiles.values():
        assert profile.base.image is None or profile.base.image in pins.entries("images")
        assert set(profile.source.git) <= pins.entries("sources").keys()
        assert profile.model in pins.entries("models")
