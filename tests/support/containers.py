"""Containers of the built image for tests, removed on every way out."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from docker.models.containers import Container

from scripts.build.engine import Engine
from scripts.build.record import BuildRecord

START_TIMEOUT_S = 300


@dataclass(frozen=True)
class Started:
    """A container that runs, and its output so far."""

    container: Container

    def log(self) -> str:
        """Return everything that the container has printed."""
        return bytes(self.container.logs()).decode(errors="replace")

    def wait_for(self, text: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when `text` was printed; fails when the container ends before, or time is up."""
        deadline = time.monotonic() + timeout_s
        while text not in self.log():
            self.container.reload()
            assert self.container.status == "running", self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def wait(self, timeout_s: float = START_TIMEOUT_S) -> int:
        """Return the exit code when the container ends; fails when it does not in time."""
        return int(self.container.wait(timeout=timeout_s)["StatusCode"])


@contextmanager
def strict(
    engine: Engine,
    image: BuildRecord,
    command: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    volumes: dict[str, dict[str, str]] | None = None,
    entrypoint: list[str] | None = None,
) -> Iterator[Started]:
    """Run the image without network, its root read-only, with nothing to write to but /tmp."""
    container = engine.client().containers.run(
        image.image,
        list(command),
        detach=True,
        network_mode="none",
        read_only=True,
        tmpfs={"/tmp": "rw,exec,mode=1777"},
        environment=dict(environment or {}),
        volumes=volumes or {},
        entrypoint=entrypoint,
    )
    try:
        yield Started(container)
    finally:
        container.remove(force=True)


def python(container: Container, code: str, interpreter: str = "/opt/worker/bin/python") -> str:
    """Run Python code inside a container; return what it prints. Fails when it fails."""
    done = container.exec_run([interpreter, "-c", code], workdir="/tmp")
    assert isinstance(done.output, bytes)
    output = done.output.decode(errors="replace")
    assert done.exit_code == 0, output
    return output
