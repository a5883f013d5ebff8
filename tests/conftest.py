"""Fixtures of every kind of test: the engine and the built image, started on first use."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from scripts.build.engine import Engine, ensure
from scripts.build.image import built
from scripts.build.record import BuildRecord
from tests.support.commands import command
from tests.support.registry import Registry, running

# How long an example takes says nothing of the code on a machine that does other things beside.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# A shell starts what runs in its background with SIGINT ignored, and so would be what the tests
# start and stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine that the commands use; stays running, as it does for a person."""
    return ensure()


@pytest.fixture(scope="session")
def image(engine: Engine) -> BuildRecord:
    """The sandbox image, built from this checkout."""
    done = command("build", timeout_s=2400)
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    return built("sandbox")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real container registry, empty at first, that anyone on this machine may push to."""
    with running(tmp_path_factory.mktemp("registry")) as started:
        yield started
