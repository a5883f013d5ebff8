"""buildx bake: run with the machine's secrets, watched, and its failure explained."""

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from scripts.build.engine import Engine, why_gone
from scripts.build.progress import Step, Steps, show
from scripts.build.retry import failure
from scripts.workspace.errors import Failure
from scripts.workspace.paths import DOCKER, ROOT

# Compressing is most of a cold build, and levels above the first take longer than they save.
ZSTD_LEVEL = 1
# How the layers of an image are kept. Docker's own media types know no zstd, OCI's do.
IMAGE_FORM = f"compression=zstd,compression-level={ZSTD_LEVEL},oci-mediatypes=true"
CA_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
DEFAULT_CA = Path("/etc/ssl/certs/ca-certificates.crt")
# uv's own names for where packages come from; they may hold credentials.
INDEX_SETTINGS = re.compile(r"UV_(DEFAULT_INDEX|EXTRA_INDEX_URL|FIND_LINKS|INDEX(_.*)?)")


def exporter(image: str) -> str:
    """Return the output of a build: an image in the engine's store, its layers in zstd."""
    return f"type=image,name={image},{IMAGE_FORM},unpack=true"


@contextmanager
def secrets() -> Iterator[dict[str, Path]]:
    """Give the machine's CA bundle and uv's index settings as files for the time of the build."""
    with tempfile.TemporaryDirectory() as folder:
        named = [os.environ[key] for key in CA_BUNDLES if os.environ.get(key)]
        bundle = Path(named[0]) if named else DEFAULT_CA
        settings = {
            key: value for key, value in os.environ.items() if INDEX_SETTINGS.fullmatch(key)
        }
        ca, uv_env = Path(folder, "ca"), Path(folder, "uv-env")
        ca.write_bytes(bundle.read_bytes() if bundle.exists() else b"")
        lines = [f"export {key}={shlex.quote(value)}\n" for key, value in sorted(settings.items())]
        uv_env.write_text("".join(lines))
        yield {"ca": ca, "uv-env": uv_env}


def bake(engine: Engine, file: Path, target: str, console: Console) -> tuple[Steps, str]:
    """Build a target of docker-bake.hcl with `file` laid over it, showing progress.

    Returns the steps, and the digest of the image or '' when none is made. Raises Failure with the
    step that failed, its last lines and the likely cause. However this ends, buildx has ended, too.
    """
    metadata = file.with_name("metadata.json")
    metadata.unlink(missing_ok=True)
    process = subprocess.Popen(
        [
            *engine.buildx_command,
            "bake",
            f"--file={DOCKER / 'docker-bake.hcl'}",
            f"--file={file}",
            "--progress=rawjson",
            f"--metadata-file={metadata}",
            target,
        ],
        cwd=ROOT,
        # Newer buildx asks before it reads a folder outside of this one, as --context may name.
        env={**engine.environment(), "BUILDX_BAKE_ENTITLEMENTS_FS": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C reaches us, and we end buildx: it then cancels the build in the daemon.
        start_new_session=True,
    )
    steps = Steps()
    try:
        assert process.stderr is not None
        show(process.stderr, steps, console)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    if code:
        raise _failure(engine, steps)
    built = json.loads(metadata.read_text()).get(target, {})
    return steps, built.get("containerimage.digest", "")


def _failure(engine: Engine, steps: Steps) -> Failure:
    step = steps.failed()
    said = "\n".join(steps.other[-10:])
    if gone := why_gone(engine):
        return Failure(f"the engine stopped in the middle of the build.\n{gone}")
    if step is None:
        return Failure(f"the build failed:\n{said}")
    if step.name.startswith("exporting "):
        return failure(f"{step.name} failed: {step.error}")
    log = "\n".join(f"  {line}" for line in step.log)
    return Failure(f"the build failed at {step.name}:\n{log}\n  {step.error}", hint=_cause(step))


CAUSES = (
    (
        r"@sha256:[0-9a-f]{64}: not found",
        "The registry no longer has that digest. Pin what the tag means there now with "
        "./nox -s lock -- --upgrade NAME (its name in [images]), or put another image in its "
        "place: --context base=IMAGE",
    ),
    ("no space left", "The disk is full. ./nox -s engine shows whose disk it is."),
    ("hash mismatch", "A download does not have the pinned hash. Try again without a proxy."),
    ("failed to fetch|error sending request|dns error|i/o timeout", "No network in the build."),
    ("exit code: 137|out of memory", "The step was killed: not enough memory."),
    ("toomanyrequests|pull access denied|failed to resolve", "The base image cannot be pulled."),
)


def _cause(step: Step) -> str:
    """Return the likely cause of a failed step, when it is one of the known ones."""
    text = "\n".join([*step.log, step.error]).lower()
    return next((cause for pattern, cause in CAUSES if re.search(pattern, text)), "")
