"""The built image as a container that is always removed, and the probe's records out of it."""

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container

from scripts.bench.suite import RawRecord
from scripts.build.image import gpus, labels, sweep
from scripts.workspace.cli import say
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.paths import BENCH
from scripts.workspace.processes import remove_left

PYTHON = "/opt/webui/bin/python"
MOUNT = "/probe"
PACKAGES = "/probe-packages"
STAGED = ".probe-"
"""Begins the names of the probe's copies, each then with the process that made it."""
PROBE = Path(__file__).with_name("probe")

Records = Iterator[RawRecord]
Chunks = Iterator[tuple[bytes | None, bytes | None]]


@contextmanager
def staged_probe() -> Iterator[Path]:
    """A copy of the probe that the image's user can read, whatever the modes of the checkout.

    Those that killed runs left are removed first.
    """
    BENCH.mkdir(parents=True, exist_ok=True)
    remove_left(BENCH, STAGED)
    with tempfile.TemporaryDirectory(prefix=f"{STAGED}{os.getpid()}-", dir=BENCH) as name:
        folder = Path(name)
        folder.chmod(0o755)
        target = folder / "probe"
        target.mkdir(mode=0o755)
        target.chmod(0o755)
        for source in sorted(PROBE.glob("*.py")):
            shutil.copyfile(source, target / source.name)
            (target / source.name).chmod(0o644)
        yield folder


@contextmanager
def created(
    client: docker.DockerClient,
    image: str,
    *,
    command: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    packages: Path | None = None,
) -> Iterator[Container]:
    """A container of `image` with the probe mounted, not yet started; removed on every way out.

    Without network, its root read-only, /tmp in memory: nothing it does outlives it. `command`
    replaces the entrypoint; what lies in `packages` can be imported beside the image's packages.
    Raises BadInput where the image is gone, Failure where the engine refuses.
    """
    sweep(client)
    mounted = {} if packages is None else {str(packages): {"bind": PACKAGES, "mode": "ro"}}
    path = ":".join([MOUNT, *(volume["bind"] for volume in mounted.values())])
    with staged_probe() as folder:
        try:
            container = client.containers.create(
                image,
                command=list(command[1:]) if command else None,
                entrypoint=[command[0]] if command else None,
                environment={"PYTHONPATH": path, **(environment or {})},
                volumes={str(folder): {"bind": MOUNT, "mode": "ro"}, **mounted},
                working_dir="/tmp" if command else None,
                network_mode="none",
                read_only=True,
                tmpfs={"/tmp": "rw,exec,mode=1777"},
                device_requests=gpus(client),
                labels=labels("bench"),
            )
        except ImageNotFound:
            raise BadInput(
                f"the engine no longer has the image {image}.",
                hint="Build it again: ./nox -s build",
            ) from None
        except APIError as error:
            why = error.explanation
            raise Failure(f"the engine made no container of {image}: {why}.") from None
        try:
            yield container
        finally:
            try:
                container.remove(force=True, v=True)
            except NotFound:
                say("bench: the container was removed by someone else.")


def run_probe(container: Container, limit_s: float, code: dict[str, int]) -> Records:
    """Start a container whose command is the probe; yield its records as they come.

    Its progress goes to stderr. `code["exit"]` holds its exit code afterwards. A probe that is
    not done within `limit_s` seconds is killed: what it had measured has been yielded.
    """
    chunks: Chunks = container.attach(stdout=True, stderr=True, stream=True, logs=True, demux=True)
    with _killed_after(container, limit_s):
        container.start()
        yield from _records(chunks)
        code["exit"] = int(container.wait()["StatusCode"])


def exec_probe(
    client: docker.DockerClient,
    container: Container,
    arguments: Sequence[str],
    code: dict[str, int],
) -> Records:
    """Run the probe inside a running container; yield its records as they come."""
    api = client.api
    command = [PYTHON, "-m", "probe", *arguments]
    made = api.exec_create(
        container.id, command, environment={"PYTHONPATH": f"{MOUNT}:{PACKAGES}"}, workdir="/tmp"
    )["Id"]
    yield from _records(api.exec_start(made, stream=True, demux=True))
    code["exit"] = int(api.exec_inspect(made)["ExitCode"] or 0)


@contextmanager
def _killed_after(container: Container, limit_s: float) -> Iterator[None]:
    """Kill the container when the block takes longer; its output then ends."""

    def kill() -> None:
        say(f"bench: the probe was not done after {limit_s:.0f} s and is stopped.")
        try:
            container.kill()
        except APIError as error:
            say(f"bench: it had ended already ({error.explanation}).")

    timer = threading.Timer(limit_s, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _records(chunks: Chunks) -> Records:
    """Split stdout into records and pass stderr on, line by line."""
    out, err = b"", b""
    for stdout, stderr in chunks:
        *lines, out = (out + (stdout or b"")).split(b"\n")
        *messages, err = (err + (stderr or b"")).split(b"\n")
        for message in messages:
            say(message.decode(errors="replace"))
        for line in filter(None, lines):
            yield parse(line)
    if err:
        say(err.decode(errors="replace"))


def parse(line: bytes) -> RawRecord:
    """One record. Raises Failure for a line that is none."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or "record" not in record:
        raise Failure(f"the probe wrote a line that is no record: {line[:200]!r}.")
    return record
