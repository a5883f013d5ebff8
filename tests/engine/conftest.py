"""A workspace with an engine of its own, in which small images are built."""

import os
import shutil
from collections.abc import Iterator

import pytest

from scripts.lock import apt
from tests.support.commands import command
from tests.support.workspaces import Apart, workspace


@pytest.fixture(scope="session")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """The workspace, after a first build of the small image."""
    if os.geteuid() != 0 or apt.available() is not None:
        pytest.skip("the embedded engine is for root on Debian or Ubuntu")
    made = workspace(tmp_path_factory.mktemp("apart"))
    try:
        done = made.build()
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        yield made
    finally:
        assert command("engine", "stop", environment=made.environment).returncode == 0
        # pytest keeps folders of past runs, and this one is large.
        shutil.rmtree(made.folder)
