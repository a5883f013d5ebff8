"""Machines that share nothing but the checkout: each has a workspace and an engine of its own."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from scripts.workspace.paths import CACHE
from tests.support.commands import Done, command, socket

# What an embedded engine and its commands must not find on a machine that has none.
BARE = {"DOCKER_HOST": "", "SDKILN_EMBEDDED_ENGINE": "1"}
# Downloads by hash, and the root file system that is made of them: no part of what is tested.
DOWNLOADS = ("debian", "rootfs", "models")


@dataclass(frozen=True)
class Machine:
    """A machine by its workspace."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What tells commands that they run on it."""
        settings = str(self.folder / "settings")
        return {**BARE, "SDKILN_WORKSPACE": str(self.folder), "DOCKER_CONFIG": settings}

    def run(self, name: str, *arguments: str) -> Done:
        """Run a command there; fails with its output when it fails."""
        done = self.tries(name, *arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        return done

    def tries(self, name: str, *arguments: str) -> Done:
        """Run a command there that may fail."""
        return command(name, *arguments, environment=self.environment, timeout_s=1200)

    def built(self) -> BuildRecord:
        """Return the record of its newest build of the sandbox."""
        text = (self.folder / "builds" / "sandbox" / "latest.json").read_text()
        return BuildRecord.model_validate_json(text)

    def engine(self) -> Engine:
        """Return its engine."""
        status = self.run("engine", "start").stdout
        return Engine(socket(status), self.folder / "engine" / "bin" / "docker", embedded=True)

    def forget(self) -> None:
        """Remove all images, the build cache and the records: the engine is as new then."""
        client = self.engine().client()
        for image in client.images.list():
            client.images.remove(str(image.id), force=True)
        client.api.prune_builds(all=True)
        assert not client.df()["BuildCache"]
        shutil.rmtree(self.folder / "builds", ignore_errors=True)


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A machine with an empty engine, which ends with the block."""
    for name in DOWNLOADS:
        if (CACHE / name).exists():
            shutil.copytree(CACHE / name, folder / "cache" / name, copy_function=_link)
    (folder / "settings").mkdir(parents=True)
    made = Machine(folder)
    try:
        yield made
    finally:
        made.run("engine", "stop")
        shutil.rmtree(folder)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def steps_run(record: BuildRecord) -> Sequence[str]:
    """Return the steps of stages that a build did itself, because no cache had them."""
    kinds = ("] RUN", "] COPY", "] ADD")
    names = [step.name for step in record.steps if not step.cached]
    return [name for name in names if any(kind in name for kind in kinds)]
