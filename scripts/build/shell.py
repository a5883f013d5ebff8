"""A shell in a stage of docker/Dockerfile, or in the state before the step that failed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import ImageNotFound, NotFound
from rich.console import Console

from scripts.build import buildx
from scripts.build.build import build_stage
from scripts.build.engine import Engine
from scripts.build.explain import StepFailed
from scripts.build.image import labels, sweep
from scripts.workspace.cli import say
from scripts.workspace.model import Workspace
from scripts.workspace.paths import BUILDS, DOCKER

# The throw-away image of each process; its tag is the process id, which a file is named after, too.
IMAGE = "sdkiln-shell"
SHELLS = BUILDS / "shells"
MOUNT = re.compile(r"--mount=(\S+)\s*(?:\\\n\s*)?")


@dataclass(frozen=True)
class Cut:
    """A Dockerfile that ends before an instruction.

    `text` has the instruction's bind mounts as copies, `command` is what it runs, `secrets` are
    the ids of those that it mounts.
    """

    text: str
    command: str
    secrets: tuple[str, ...]


def cut(text: str, line: int) -> Cut:
    """Cut a Dockerfile before the RUN instruction that begins at `line`, counted from 1."""
    lines = text.splitlines(keepends=True)
    end = line
    while end < len(lines) and lines[end - 1].rstrip().endswith("\\"):
        end += 1
    instruction = "".join(lines[line - 1 : end])
    mounts = [_options(each) for each in MOUNT.findall(instruction)]
    copies = [_copy(each) for each in mounts if each.get("type", "bind") == "bind"]
    return Cut(
        text="".join([*lines[: line - 1], *copies]),
        command=MOUNT.sub("", instruction).strip().removeprefix("RUN").strip(),
        secrets=tuple(each["id"] for each in mounts if each.get("type") == "secret"),
    )


def _options(mount: str) -> dict[str, str]:
    return dict(option.split("=", 1) for option in mount.split(",") if "=" in option)


def _copy(mount: Mapping[str, str]) -> str:
    origin = f"--from={mount['from']} " if "from" in mount else ""
    return f"COPY {origin}{mount.get('source', '/')} {mount['target']}\n"


def shell(
    workspace: Workspace,
    name: str,
    context: list[str],
    engine: Engine,
    console: Console,
    stage: str,
) -> int:
    """Build a stage and open a shell in it, as root; return the shell's exit code.

    When a step fails on the way, the shell opens in the state before it, with the folders and
    secrets that the step has mounted. Without a terminal, the shell takes commands from stdin.
    Raises what `build_stage` raises when there is no such state: no step of docker/Dockerfile's
    ran.
    """
    with _image(engine) as image:
        try:
            build_stage(workspace, name, context, engine, console, stage, image=image)
        except StepFailed as failed:
            if failed.target != "image" or failed.line is None or not failed.step.stage:
                raise
            say(f"{failed.message}\n  {failed.hint}".rstrip())
            before = cut((DOCKER / "Dockerfile").read_text(), failed.line)
            stage = failed.step.stage
            build_stage(
                workspace, name, context, engine, console, stage, image=image, text=before.text
            )
            say(
                f"This is {stage} before docker/Dockerfile:{failed.line}, where this failed:\n\n"
                f"    {before.command}\n"
            )
            with buildx.secrets() as files:
                # An engine elsewhere has no files of this machine to mount.
                secrets = before.secrets if engine.host.startswith("unix://") else ()
                return _run(engine, image, {f"/run/secrets/{key}": files[key] for key in secrets})
        say(f"This is {stage} as docker/Dockerfile makes it.")
        return _run(engine, image, {})


@contextmanager
def _image(engine: Engine) -> Iterator[str]:
    """Give the name of an image that is removed on every way out, and what killed ones left."""
    client = engine.client()
    sweep(client)
    # The engine is not asked: with containerd's image store, Docker 26 does not list all it has.
    SHELLS.mkdir(parents=True, exist_ok=True)
    for left in SHELLS.iterdir():
        if not Path("/proc", left.name).exists():
            _remove(client, left)
    mark = SHELLS / str(os.getpid())
    mark.touch()
    try:
        yield f"{IMAGE}:{mark.name}"
    finally:
        _remove(client, mark)


def _remove(client: docker.DockerClient, mark: Path) -> None:
    with suppress(ImageNotFound):
        client.images.remove(f"{IMAGE}:{mark.name}", force=True)
    mark.unlink(missing_ok=True)


def _run(engine: Engine, image: str, mounted: Mapping[str, Path]) -> int:
    """Run a shell in a container that is removed on every way out; return its exit code."""
    name = f"{IMAGE}-{os.getpid()}"
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    process = subprocess.Popen(
        [
            str(engine.program),
            "run",
            "--rm",
            "--interactive",
            *(["--tty"] if terminal else []),
            f"--name={name}",
            *(f"--label={key}={value}" for key, value in labels("build").items()),
            *(f"--volume={path}:{target}:ro" for target, path in mounted.items()),
            "--user=0:0",
            "--entrypoint=/bin/sh",
            image,
        ],
        env=engine.environment(),
    )
    try:
        return process.wait()
    finally:
        with suppress(NotFound):
            engine.client().containers.get(name).remove(force=True)
        process.wait()
