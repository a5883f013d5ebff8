"""Whether an image is the same to the bit when it is built again from nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import docker

from scripts.build.difference import compare, export
from scripts.build.engine import EMBEDDED, Engine
from scripts.build.record import BuildRecord
from scripts.workspace.errors import Failure
from scripts.workspace.files import exclusive
from scripts.workspace.paths import ROOT, WORKSPACE, shown

# The workspace of the second build, with an engine, caches and downloads of its own.
APART = WORKSPACE / "verify"
# Built alone before everything else, so that the second build goes in another order.
FIRST = "py-worker"


def differences(record: BuildRecord, engine: Engine, context: Sequence[str]) -> list[str]:
    """Build a profile from nothing, and return what tells it from the image in `record`.

    The second build shares nothing with the first but the inputs: it has an engine, a BuildKit
    cache and downloads of its own, which are removed on every way out. Raises Failure when it
    cannot be made.
    """
    arguments = ["--profile", record.profile, *(f"--context={each}" for each in context)]
    with exclusive(WORKSPACE / "verify.lock", "build --verify"), _apart():
        _run("scripts.build", *arguments, "--target", FIRST)
        _run("scripts.build", *arguments)
        text = (APART / "builds" / record.profile / "latest.json").read_text()
        again = BuildRecord.model_validate_json(text)
        if again.digest == record.digest:
            return []
        with tempfile.TemporaryDirectory(dir=APART) as folder:
            one, other = Path(folder, "one.tar"), Path(folder, "other.tar")
            export(engine.client(), record.image, one)
            export(_client(), again.image, other)
            names = [layer.name for layer in record.layers]
            return list(compare(names, one, other)) or ["the manifests differ, the layers do not"]


@contextmanager
def _apart() -> Iterator[None]:
    """Give an empty workspace, and remove it with its engine."""
    _remove()
    try:
        yield
    finally:
        _remove()


def _remove() -> None:
    if APART.exists():
        _run("scripts.engine", "stop")
        shutil.rmtree(APART)


def _environment() -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if key != "SDKILN_SESSIONS"}
    return {**ours, "SDKILN_WORKSPACE": str(APART), EMBEDDED: "1"}


def _run(module: str, *arguments: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, env=_environment()
    )
    try:
        code = process.wait()
    finally:
        # After Ctrl-C it ends by itself; told to end, we tell it.
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code:
        raise Failure(f"the second build failed; its reason stands above ({shown(APART)}).")


def _client() -> docker.DockerClient:
    """Return a client of the second engine."""
    code = "from scripts.build.engine import embedded; print(embedded().host)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return docker.DockerClient(base_url=done.stdout.strip(), timeout=600)
