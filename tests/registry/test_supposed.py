"""What `build --impact --set` asks the package registry."""

import pytest

from scripts.build import supposed
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load


def test_another_version_is_resolved_with_what_it_needs() -> None:
    locks = supposed.locks(load(), "sandbox", ["worker.runpod=1.10.1"])
    versions = {pin.name: pin.version for pin in locks("worker-py3.11")}
    assert versions["runpod"] == "1.10.1"
    assert "aiohttp" in versions


def test_versions_that_do_not_go_together_are_refused_by_the_names_of_our_files() -> None:
    with pytest.raises(BadInput) as refused:
        supposed.locks(load(), "sandbox", ["worker.runpod=1.10.1", "worker.aiohttp=1.0.0"])
    assert "runpod" in refused.value.message
    assert "requirements/worker.in" in refused.value.message
    assert "/tmp" not in refused.value.message
