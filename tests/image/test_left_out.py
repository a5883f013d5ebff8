"""What docker/leave-out.toml names is not in the image, and nothing in the image misses it."""

import csv
import json
import runpy
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import pytest
from docker.models.containers import Container

from scripts.build.contexts import groups
from scripts.build.leave_out import SYSTEM, listing, rules
from scripts.lock.layers import WORKER
from scripts.lock.pins import entries
from scripts.workspace.model import load
from scripts.workspace.paths import DOCKER, ROOT
from tests.support.containers import python

pattern: Callable[[str, Sequence[str]], str | None] = runpy.run_path(str(DOCKER / "leave-out.py"))[
    "pattern"
]
WALKER = ROOT / "benchmarks" / "size" / "walker.py"
# What came with each package, by its own metadata, which leaves nothing out; and what is there.
PACKAGES = """
import importlib.metadata, json, os, re, sysconfig
recorded = {}
for each in importlib.metadata.distributions():
    recorded[re.sub("[-_.]+", "-", each.metadata["Name"]).lower()] = each.read_text("RECORD")
site = sysconfig.get_path("purelib")
there = [os.path.relpath(os.path.join(at, name), site)
         for at, _, names in os.walk(site) for name in names]
print(json.dumps([recorded, there]))
"""
DEBIAN = """
import json, os, pathlib
recorded = {}
for path in pathlib.Path("/var/lib/dpkg/info").glob("*.list"):
    recorded[path.stem.split(":")[0]] = path.read_text()
there = [os.path.relpath(os.path.join(at, name), "/usr")
         for at, _, names in os.walk("/usr") for name in names]
print(json.dumps([recorded, there]))
"""


class Came:
    """What the packages of each layer brought, by layer, and what of it is in the image."""

    def __init__(self, webui: Container) -> None:
        """Read the metadata of both environments and of Debian's packages."""
        workspace = load()
        in_webui = json.loads(python(webui, PACKAGES, "/opt/webui/bin/python"))
        in_worker = json.loads(python(webui, PACKAGES, "/opt/worker/bin/python"))
        self.files: dict[str, set[str]] = {}
        self.there: dict[str, set[str]] = {}
        for layer, pins in groups(workspace, workspace.profile("sandbox")).items():
            if layer in workspace.layers or layer == WORKER:
                recorded, there = in_worker if layer == WORKER else in_webui
                texts = [recorded[pin.name] for pin in pins]
                self.files[layer] = {
                    row[0] for text in texts for row in csv.reader(text.splitlines())
                }
                self.there[layer] = set(there)
        recorded, there = json.loads(python(webui, DEBIAN))
        names = [name for name, pin in entries("debian").items() if SYSTEM in pin["layers"]]
        lines = [line for name in names for line in recorded[name].splitlines()]
        self.files[SYSTEM] = {line.removeprefix("/usr/") for line in lines if "/usr/" in line}
        self.there[SYSTEM] = set(there)


@pytest.fixture(scope="module")
def came(webui: Container) -> Came:
    return Came(webui)


def test_each_path_of_the_list_is_still_brought_by_a_package_of_its_layer(came: Came) -> None:
    dead = [
        f"{layer}: {path}"
        for layer, of_layer in rules().items()
        for rule in of_layer
        for path in (*rule.paths, *rule.keep)
        if not any(pattern(file, [path]) for file in came.files[layer])
    ]
    assert not dead


def test_what_a_package_brought_is_missing_exactly_when_the_list_says_so(came: Came) -> None:
    for layer, of_layer in rules().items():
        lines = listing(of_layer).splitlines()
        brought = {file for file in came.files[layer] if not is_program(file)}
        if layer == SYSTEM:  # dpkg lists folders, too, and what the base leaves out
            brought = {file for file in brought if pattern(file, lines)} - folders(brought)
        missing = brought - came.there[layer]
        assert missing == {file for file in brought if pattern(file, lines)}, layer


def is_program(file: str) -> bool:
    """Whether a recorded file is one of those that docker/install-packages removes by itself."""
    return PurePosixPath(file).parts[0] in ("bin", "..")


def folders(files: set[str]) -> set[str]:
    return {str(parent) for file in files for parent in PurePosixPath(file).parents}


def test_there_is_no_compiler_that_could_use_a_header(webui: Container) -> None:
    found = python(
        webui,
        "import shutil\n"
        "names = 'cc gcc g++ c++ clang clang++ cpp ld nvcc ninja make cmake tcc'.split()\n"
        "print([name for name in names if shutil.which(name)])",
    )
    assert found.strip() == "[]"


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


def test_the_sdk_uploads_to_a_bucket(webui: Container) -> None:
    assert "['/bucket/job/image.png']" in python(webui, UPLOAD)
