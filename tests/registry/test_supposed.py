"""What `build --impact --set` asks the package registry."""

import pytest

from scripts.build import supposed
from scripts.build.recipe import recipe
from scripts.lock.lockfile import locked
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load


def test_another_version_is_resolved_with_what_it_needs() -> None:
    locks = supposed.locks(load(), "sandbox", ["worker.runpod=1.10.1"])
    versions = {pin.name: pin.version for pin in locks("worker-py3.11")}
    assert versions["runpod"] == "1.10.1"
    assert "aiohttp" in versions


@pytest.mark.parametrize("package", ["worker.runpod", "webui.torch", "build.setuptools"])
def test_the_locked_version_changes_nothing(package: str) -> None:
    environment, _, name = package.partition(".")
    lock = {"webui": "webui-cu121-py3.11", "worker": "worker-py3.11"}.get(environment, environment)
    (version,) = [pin.version for pin in locked(lock) if pin.name == name]
    locks = supposed.locks(load(), "sandbox", [f"{package}={version}"])
    assert recipe(load(), "sandbox", locks=locks) == recipe(load(), "sandbox")


def test_a_universal_lock_can_be_supposed_as_well() -> None:
    locks = supposed.locks(load(), "sandbox", ["build.setuptools=70.0.0"])
    assert "70.0.0" in [pin.version for pin in locks("build") if pin.name == "setuptools"]


def test_versions_that_do_not_go_together_are_refused_by_the_names_of_our_files() -> None:
    with pytest.raises(BadInput) as refused:
        supposed.locks(load(), "sandbox", ["worker.runpod=1.10.1", "worker.aiohttp=1.0.0"])
    assert "runpod" in refused.value.message
    assert "requirements/worker.in" in refused.value.message
    assert "/tmp" not in refused.value.message
