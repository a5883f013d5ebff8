"""A container of the built image, as strict as it is run: no network, read-only, no root."""

from collections.abc import Iterator

import pytest
from docker.models.containers import Container

from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from tests.support.containers import strict


@pytest.fixture(scope="module")
def webui(engine: Engine, image: BuildRecord) -> Iterator[Container]:
    """A container whose web UI is up and proven by an image; it serves no jobs."""
    with strict(engine, image, environment={"SDKILN_WEBUI_ONLY": "1"}) as started:
        started.wait_for("web UI ready")
        yield started.container
