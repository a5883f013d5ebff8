"""Workspaces with an engine of their own, for builds that the user's must not notice."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import docker

from scripts.build.engine import EMBEDDED, Engine
from scripts.build.record import BuildRecord
from scripts.workspace.paths import CACHE, ROOT
from tests.support.commands import Done, command, socket
from tests.support.layers import small


@dataclass(frozen=True)
class Apart:
    """A workspace at `folder`; `small` puts a small folder in the place of each large layer."""

    folder: Path
    small: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """What leads a command to this workspace."""
        return {"SDKILN_WORKSPACE": str(self.folder), EMBEDDED: "1"}

    def build(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
        """Run `build` with small layers."""
        more = {**self.environment, **(environment or {})}
        return command("build", *self.small, *arguments, environment=more)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `build` with small layers: stdin is a pipe, stderr goes with stdout."""
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.build", *self.small, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment, "NO_COLOR": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def record(self) -> BuildRecord:
        """Return the record of the newest build."""
        return BuildRecord.model_validate_json((self.records / "latest.json").read_text())

    @property
    def records(self) -> Path:
        """Where the records are."""
        return self.folder / "builds" / "sandbox"

    def pid(self) -> int:
        """Return the process id of the daemon."""
        return int((self.folder / "engine" / "dockerd.pid").read_text())

    def engine(self) -> Engine:
        """Return the engine, which must run."""
        said = command("engine", "status", environment=self.environment).stdout
        return Engine(socket(said), self.folder / "engine" / "bin" / "docker", embedded=True)

    def client(self) -> docker.DockerClient:
        """Return a client of the engine, which must run."""
        return self.engine().client(60)


def workspace(folder: Path) -> Apart:
    """Make a workspace in an empty folder; what was downloaded before is there."""
    if CACHE.exists():
        shutil.copytree(CACHE, folder / "cache")
    return Apart(folder, tuple(small(folder)))
