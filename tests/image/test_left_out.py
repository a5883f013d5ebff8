"""What docker/leave-out.toml names is not in the image, and nothing in the image misses it."""

import csv
import json
import re
import runpy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pytest
from docker.models.containers import Container

from scripts.build.contexts import groups
from scripts.build.engine import Engine
from scripts.build.leave_out import SYSTEM, listing, rules
from scripts.build.record import BuildRecord
from scripts.lock.layers import WORKER
from scripts.lock.pins import entries
from scripts.workspace.model import load
from scripts.workspace.paths import DOCKER, ROOT
from tests.support.containers import python, strict

# The build's own reading of a list.
PROGRAM = runpy.run_path(str(DOCKER / "tools" / "install" / "leave-out.py"))
pattern: Callable[[str, Sequence[str]], str | None] = PROGRAM["pattern"]
WALKER = ROOT / "benchmarks" / "size" / "walker.py"

# The metadata of each package, which lists what was left out, too; and the files that are there.
PACKAGES = """
import importlib.metadata, json, os, re, sysconfig
recorded = {
    re.sub("[-_.]+", "-", each.metadata["Name"]).lower(): each.read_text("RECORD")
    for each in importlib.metadata.distributions()
}
site = sysconfig.get_path("purelib")
there = [os.path.join(at, name) for at, _, names in os.walk(site) for name in names]
print(json.dumps([recorded, [os.path.relpath(path, site) for path in there]]))
"""
DEBIAN = """
import json, os, pathlib
lists = pathlib.Path("/var/lib/dpkg/info").glob("*.list")
recorded = {path.stem.split(":")[0]: path.read_text() for path in lists}
there = [os.path.join(at, name) for at, *names in os.walk("/usr") for name in sum(names, [])]
print(json.dumps([recorded, [os.path.relpath(path, "/usr") for path in there]]))
"""


@dataclass(frozen=True)
class Brought:
    """The files that the packages of a layer brought, and those that are in the image."""

    files: frozenset[str]
    there: frozenset[str]

    @property
    def gone(self) -> frozenset[str]:
        """What a package brought and is not in the image, less the programs in bin."""
        missing = self.files - self.there
        return frozenset(file for file in missing if not file.startswith(("bin/", "../")))


@pytest.fixture(scope="module")
def brought(webui: Container) -> Mapping[str, Brought]:
    """What each layer that is made of packages consists of."""
    workspace = load()
    in_webui = json.loads(python(webui, PACKAGES, "/opt/webui/bin/python"))
    in_worker = json.loads(python(webui, PACKAGES, "/opt/worker/bin/python"))
    made = {}
    for layer, pins in groups(workspace, workspace.profile("sandbox")).items():
        if layer in workspace.layers or layer == WORKER:
            recorded, there = in_worker if layer == WORKER else in_webui
            rows = csv.reader(line for pin in pins for line in recorded[pin.name].splitlines())
            made[layer] = Brought(frozenset(row[0] for row in rows), frozenset(there))
    made[SYSTEM] = _of_debian(*json.loads(python(webui, DEBIAN)))
    return made


def _of_debian(recorded: Mapping[str, str], there: Collection[str]) -> Brought:
    names = [name for name, pin in entries("debian").items() if SYSTEM in pin["layers"]]
    lines = {line for name in names for line in recorded[name].splitlines()}
    files = {line.removeprefix("/usr/") for line in lines if line.startswith("/usr/")}
    # The sandbox's dpkg leaves these out of any package, see scripts/build/debian.py.
    never = ("share/doc/", "share/locale/", "share/man/")
    # dpkg lists folders, too.
    folders = {str(parent) for file in files for parent in PurePosixPath(file).parents}
    found = {file for file in files - folders if not f"{file}/".startswith(never)}
    return Brought(frozenset(found), frozenset(there))


def test_each_path_of_the_list_is_still_brought_by_a_package_of_its_layer(
    brought: Mapping[str, Brought],
) -> None:
    dead = [
        f"{layer}: {path}"
        for layer, of_layer in rules().items()
        for rule in of_layer
        for path in (*rule.paths, *rule.keep)
        if not any(pattern(file, [path]) for file in brought[layer].files)
    ]
    assert not dead


def test_what_is_gone_is_what_the_list_names_and_nothing_else(
    brought: Mapping[str, Brought],
) -> None:
    for layer, of_layer in brought.items():
        lines = listing(rules().get(layer, ())).splitlines()
        named = {file for file in of_layer.files if pattern(file, lines)}
        assert of_layer.gone == named, layer


def test_there_is_no_compiler_that_could_read_a_header(webui: Container) -> None:
    found = python(
        webui,
        "import shutil\n"
        "names = 'cc c++ gcc g++ clang clang++ tcc cpp as ld nvcc cmake make ninja'.split()\n"
        "print([name for name in names if shutil.which(name)])",
    )
    assert found.strip() == "[]"


@pytest.mark.parametrize("environment", ["webui", "worker"])
def test_the_modules_that_an_environment_is_there_for_are_imported(
    webui: Container, environment: str
) -> None:
    modules = load().environments[environment].imports
    code = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)"
    python(webui, code, f"/opt/{environment}/bin/python")


def test_no_module_misses_what_was_left_out_of_its_package(
    engine: Engine, image: BuildRecord, brought: Mapping[str, Brought]
) -> None:
    """Imports each module of the packages that lost some; docs/building.md has all packages."""
    gone = {file for layer in load().layers for file in brought[layer].gone}
    modules = set(_modules(gone))
    libraries = [file for file in gone | brought[SYSTEM].gone if ".so" in file]
    files = gone | {PurePosixPath(file).name for file in libraries}
    left = {
        name.split(".")[0] for layer in load().layers for name in _modules(brought[layer].there)
    }
    packages = sorted({name.split(".")[0] for name in modules} & left)
    with strict(
        engine,
        image,
        ["/walker.py", *packages],
        volumes={str(WALKER): {"bind": "/walker.py", "mode": "ro"}},
        entrypoint=["/opt/webui/bin/python"],
    ) as started:
        assert started.wait() == 0, started.log()
        walked = [json.loads(line) for line in started.log().splitlines()]
    assert sum(reason is None for _, reason in walked) > 3000
    assert not [
        f"{name}: {reason}"
        for name, reason in walked
        if reason is not None
        and (not modules.isdisjoint(_named(reason)) or any(file in reason for file in files))
    ]


def _modules(files: Collection[str]) -> Iterator[str]:
    for file in files:
        if file.endswith(".py"):
            yield file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _named(reason: str) -> Iterator[str]:
    """Yield the modules that an ImportError names."""
    yield from re.findall(r"No module named '([^']+)'", reason)
    for name, module in re.findall(r"cannot import name '([^']+)' from '([^']+)'", reason):
        yield f"{module}.{name}"


UPLOAD = """
import http.server, pathlib, tempfile, threading
import boto3
from runpod.serverless.utils.rp_upload import upload_file_to_bucket

put = []

class Bucket(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        put.append(self.path)
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
threading.Thread(target=server.serve_forever, daemon=True).start()
image = pathlib.Path(tempfile.mkdtemp(), "image.png")
image.write_bytes(b"a picture")
keys = {"accessId": "a", "accessSecret": "b"}
keys["endpointUrl"] = f"http://127.0.0.1:{server.server_port}"
upload_file_to_bucket("image.png", str(image), keys, "bucket", "job")
print(put)
for service in ("sts", "sso", "sso-oidc", "signin"):
    boto3.client(service, region_name="eu-north-1")
"""


def test_the_sdk_uploads_to_a_bucket_and_may_ask_for_credentials(webui: Container) -> None:
    assert "['/bucket/job/image.png']" in python(webui, UPLOAD)
