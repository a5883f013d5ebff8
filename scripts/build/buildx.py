"""buildx bake: run with the machine's secrets, watched, and its failure explained."""

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.build.engine import Engine, why_gone
from scripts.build.explain import cause, failure
from scripts.build.progress import Steps, show
from scripts.build.retry import failure as push_failure
from scripts.lock.settings import configuration
from scripts.workspace.errors import Failure
from scripts.workspace.paths import DOCKER, ROOT, WORKSPACE
from scripts.workspace.processes import remove_left

# Compressing is most of a cold build, and levels above the first take longer than they save.
ZSTD_LEVEL = 1
# How the layers of an image are kept. Docker's own media types know no zstd, OCI's do.
IMAGE_FORM = f"compression=zstd,compression-level={ZSTD_LEVEL},oci-mediatypes=true"
CA_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
DEFAULT_CA = Path("/etc/ssl/certs/ca-certificates.crt")
SECRETS = WORKSPACE / "secrets"
# uv's own names for where packages come from; they may hold credentials.
INDEX_SETTINGS = re.compile(r"UV_(DEFAULT_INDEX|EXTRA_INDEX_URL|FIND_LINKS|INDEX(_.*)?)")


def exporter(image: str) -> str:
    """Return the output of a build: an image in the engine's store, its layers in zstd."""
    return f"type=image,name={image},{IMAGE_FORM},unpack=true"


def throwaway(image: str) -> str:
    """Return the output of an image that is only looked into here: compressing it would be lost."""
    return f"type=image,name={image},compression=uncompressed,unpack=true"


def index_settings(machine: Mapping[str, Any]) -> dict[str, str]:
    """Return as uv's variables which indexes this process's variables and its uv.toml name.

    As uv has it, of the default index the variable counts, and all other indexes count together,
    those of the variables first. One that is `explicit` is for packages that name it: no pin does.
    """
    found = {key: value for key, value in os.environ.items() if INDEX_SETTINGS.fullmatch(key)}
    every = [each for each in machine.get("index", ()) if not each.get("explicit")]
    defaults = [_index(each) for each in every if each.get("default")]
    defaults += [machine["index-url"]] if "index-url" in machine else []
    if defaults and not (found.get("UV_DEFAULT_INDEX") or found.get("UV_INDEX_URL")):
        found["UV_DEFAULT_INDEX"] = defaults[0]
    more = {
        "UV_INDEX": [_index(each) for each in every if not each.get("default")],
        "UV_EXTRA_INDEX_URL": machine.get("extra-index-url", ()),
    }
    for key, values in more.items():
        if values:
            found[key] = " ".join([*found.get(key, "").split(), *values])
    return found


def _index(entry: Mapping[str, Any]) -> str:
    # By its name uv finds the variables that hold a login: UV_INDEX_NAME_PASSWORD.
    return f"{entry['name']}={entry['url']}" if "name" in entry else str(entry["url"])


@contextmanager
def secrets() -> Iterator[dict[str, Path]]:
    """Give the machine's CA bundle and uv's index settings as files for the time of the build.

    They may hold credentials: what builds that were killed left is removed first. Raises BadInput
    for settings of uv that cannot be read.
    """
    SECRETS.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_left(SECRETS)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=SECRETS) as folder:
        named = [os.environ[key] for key in CA_BUNDLES if os.environ.get(key)]
        bundle = Path(named[0]) if named else DEFAULT_CA
        indexes = index_settings(configuration())
        ca, uv_env = Path(folder, "ca"), Path(folder, "uv-env")
        ca.write_bytes(bundle.read_bytes() if bundle.exists() else b"")
        lines = [f"export {key}={shlex.quote(value)}\n" for key, value in sorted(indexes.items())]
        uv_env.write_text("".join(lines))
        yield {"ca": ca, "uv-env": uv_env}


def bake(
    engine: Engine, file: Path, target: str, console: Console, dockerfile: Path | None = None
) -> tuple[Steps, str]:
    """Build a target of docker-bake.hcl with `file` laid over it, showing progress.

    Returns the steps, and the digest of the image or '' when none is made. Raises Failure with the
    step that failed, its line in `dockerfile`, its last lines and the likely cause. However this
    ends, buildx has ended, too.
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
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if code:
        if gone := why_gone(engine):
            raise Failure(f"the engine stopped in the middle of the build.\n{gone}")
        step = steps.failed()
        if step is not None and step.name.startswith("exporting "):
            said = f"{step.name} failed: {step.error}"
            # What went wrong here is no better the next time; what a registry dropped may be.
            if "no space left" in step.error.lower() or not _sends(file, target):
                raise Failure(said, hint=cause(step.error))
            raise push_failure(said)
        raise failure(target, steps, dockerfile)
    built = json.loads(metadata.read_text()).get(target, {})
    return steps, built.get("containerimage.digest", "")


def _sends(file: Path, target: str) -> bool:
    """Return whether a target of a bake file is sent to a registry: the image, or its cache."""
    asked = json.loads(file.read_text())["target"].get(target, {})
    ways = [*asked.get("output", ()), *asked.get("cache-to", ())]
    return any("push=true" in way or "type=registry" in way for way in ways)
