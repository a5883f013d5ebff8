"""The fake web UI that the worker's tests talk to."""

from collections.abc import Iterator

import pytest

from tests.unit.worker.fake_webui import FakeWebUI


@pytest.fixture
def webui() -> Iterator[FakeWebUI]:
    """A fake web UI on a port of its own, in a thread."""
    with FakeWebUI() as fake, fake.serving():
        yield fake
