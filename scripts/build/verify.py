"""Whether an image is the same to the bit when it is built again from nothing."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import docker

from scripts.build.apart import apart, environment, run
from scripts.build.build import space
from scripts.build.difference import compare, export
from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from scripts.workspace.files import require_space
from scripts.workspace.model import Workspace
from scripts.workspace.paths import ROOT

# The workspace of the second build.
NAME = "verify"
PURPOSE = "build --verify"
# Built alone before everything else, so that the second build goes in another order.
FIRST = "py-worker"


def require(workspace: Workspace, name: str, context: list[str], engine: Engine) -> None:
    """Raise Failure when a build of a profile could not be verified after it is made.

    That takes the embedded engine, and the disk of a build from nothing beside the first one's.
    """
    # What a killed one left is gone from the disk before that is measured.
    with apart(NAME, PURPOSE) as folder:
        needed = space(workspace, name, context, engine) + space(workspace, name, context)
        require_space(folder.parent, needed, PURPOSE)


def differences(record: BuildRecord, engine: Engine, context: Sequence[str]) -> list[str]:
    """Build a profile from nothing, and return what tells it from the image in `record`.

    The second build shares nothing with the first but the inputs: it has an engine, a BuildKit
    cache and downloads of its own, which are removed on every way out. Raises Failure when it
    cannot be made.
    """
    arguments = ["--profile", record.profile, *(f"--context={each}" for each in context)]
    with apart(NAME, PURPOSE) as folder:
        run(folder, "scripts.build", *arguments, "--target", FIRST)
        run(folder, "scripts.build", *arguments)
        text = (folder / "builds" / record.profile / "latest.json").read_text()
        again = BuildRecord.model_validate_json(text)
        if again.digest == record.digest:
            return []
        with tempfile.TemporaryDirectory(dir=folder) as exported:
            one, other = Path(exported, "one.tar"), Path(exported, "other.tar")
            export(engine.client(), record.image, one)
            export(_client(folder), again.image, other)
            names = [layer.name for layer in record.layers]
            return list(compare(names, one, other)) or ["the manifests differ, the layers do not"]


def _client(folder: Path) -> docker.DockerClient:
    """Return a client of the second engine."""
    code = "from scripts.build.engine import embedded; print(embedded().host)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    return docker.DockerClient(base_url=done.stdout.strip(), timeout=600)
