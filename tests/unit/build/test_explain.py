"""What is said of a failed build, from what buildx and the tools in it say."""

import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from rich.console import Console
from uv import find_uv_bin

from scripts.build import build, buildx
from scripts.build.build import Task
from scripts.build.engine import Engine
from scripts.build.explain import StepFailed, cause, failure, line
from scripts.build.progress import Steps
from scripts.workspace.paths import DOCKER
from tests.support.servers import REFUSING, Reply, Request, Respond, dying, serving

# What buildx 0.13 wrote when docker/install-packages failed.
QUOTE = """\
Dockerfile:80
--------------------
  79 |     FROM base AS tokenizer
  80 | >>> RUN --mount=type=bind,from=tools,target=/tools \\
  81 | >>>     /tools/install-packages /clip
--------------------
ERROR: failed to solve: process "/bin/sh -c /tools/install-packages /clip" did not complete
"""


NAME = "[tokenizer 1/2] RUN --mount=type=bind,from=tools,target=/tools     install /clip"


def failed(error: str, *said: str, name: str = NAME) -> Steps:
    steps = Steps()
    vertex: dict[str, Any] = {"digest": "sha256:1", "name": name, "error": error}
    steps.feed({"vertexes": [vertex]})
    for text in said:
        steps.feed(text)
    return steps


def test_the_line_is_that_which_buildx_quotes() -> None:
    assert line(failed("", *QUOTE.splitlines())) == 80
    assert line(failed("", "docker/Dockerfile:7")) == 7
    assert line(failed("", "ERROR: Dockerfile:7 is odd")) is None


def test_a_failed_step_is_told_without_its_mounts_and_with_its_line() -> None:
    error = 'process "/bin/sh -c install /clip" did not complete successfully: exit code: 137'
    told = failure("image", failed(error, *QUOTE.splitlines()), DOCKER / "Dockerfile")
    assert isinstance(told, StepFailed)
    assert told.message == (
        "the build failed at [tokenizer 1/2] RUN install /clip (docker/Dockerfile:80):\n"
        "  exit code: 137"
    )
    assert "not enough memory" in told.hint
    assert (told.line, told.step.stage) == (80, "tokenizer")


@pytest.mark.parametrize(
    ("target", "stage", "code"),
    [
        ("check", "check", 3),
        ("image", "check", 3),
        ("image", "tokenizer", 1),
        ("source", "check", 1),
    ],
)
def test_layers_that_do_not_go_together_are_a_check_that_says_no_however_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str, stage: str, code: int
) -> None:
    """--target check builds that stage as the image; a web UI's Dockerfile may have one, too."""

    def fail(*_given: object) -> None:
        steps = failed("exit code: 1", name=f"[{stage} 1/1] RUN python3 /check-layers.py /layers")
        raise failure(target, steps, None)

    monkeypatch.setattr(buildx, "bake", fail)
    monkeypatch.setattr(build, "keep", lambda *_given: {})
    task = Task("sandbox", {}, {}, {}, {}, {"target": {target: {}}}, tmp_path / "bake.json")
    monkeypatch.setattr(build, "laid_over", lambda definition, *_given: definition)
    engine = Engine("unix:///nowhere.sock", Path("/bin/docker"), embedded=False)
    with pytest.raises(StepFailed) as refused:
        build.bake_all(task, engine, Console(quiet=True))
    assert refused.value.code == code


def test_a_build_that_fails_outside_of_a_step_is_told_by_what_buildx_says() -> None:
    steps = Steps()
    steps.feed("ERROR: write /x: no space left on device")
    told = failure("image", steps, None)
    assert told.message == "the build failed:\nERROR: write /x: no space left on device"
    assert told.hint.startswith("The disk is full.")


def test_what_is_not_known_has_no_cause() -> None:
    assert cause("E: the package is of another architecture") == ""


def uv(folder: Path, index: str) -> str:
    """Return what uv says when it installs a package from an index."""
    done = subprocess.run(
        [
            *(find_uv_bin(), "pip", "install", "--quiet", "--no-cache", "--no-config"),
            *("--python", sys.executable, "--target", folder / "site", "--index-url", index, "six"),
        ],
        env={"HOME": str(folder), "UV_HTTP_RETRIES": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode
    return done.stderr


def test_uv_that_is_refused_does_not_reach_the_network(tmp_path: Path) -> None:
    assert "does not reach the network" in cause(uv(tmp_path, f"http://{REFUSING}/simple"))


def test_uv_that_is_cut_off_does_not_reach_the_network(tmp_path: Path) -> None:
    with dying() as host:
        assert "does not reach the network" in cause(uv(tmp_path, f"http://{host}/simple"))


def refusing(status: int, only_files: bool) -> Respond:
    link = f'<a href="/file/six-1.16.0-py2.py3-none-any.whl#sha256={"0" * 64}">{{}}</a>'
    page = link.format("six-1.16.0-py2.py3-none-any.whl").encode()

    def respond(request: Request) -> Reply:
        if only_files and not request.path.startswith("/file/"):
            return Reply(body=page, headers={"Content-Type": "text/html"})
        return Reply(status)

    return respond


@pytest.mark.parametrize(
    ("status", "only_files"), [(401, False), (403, False), (401, True), (403, True), (404, True)]
)
def test_an_index_that_answers_and_refuses_is_told_from_none(
    tmp_path: Path, status: int, only_files: bool
) -> None:
    with serving(refusing(status, only_files)) as host:
        said = uv(tmp_path, f"http://{host}/simple")
    assert str(status) in said
    assert "The index answers and does not give a package" in cause(said)


@pytest.mark.parametrize(
    "said",
    [
        "Failed to download distribution due to network timeout. Try increasing UV_HTTP_TIMEOUT",
        "dial tcp: lookup host on 127.0.0.53:53: server misbehaving",
        "read tcp 10.0.0.1:5->10.0.0.2:443: read: connection reset by peer",
    ],
)
def test_a_network_that_answers_late_or_breaks_off_is_recognized(said: str) -> None:
    assert "does not reach the network" in cause(said)


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[str]:
    """A server whose certificate no authority has signed; its address."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("localhost", 0), SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://localhost:{server.server_port}/simple"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_uv_does_not_trust_is_recognized(
    self_signed: str, tmp_path: Path
) -> None:
    assert "certificate that is not trusted" in cause(uv(tmp_path, self_signed))


def test_a_full_disk_is_recognized_by_what_the_kernel_calls_it() -> None:
    """/dev/full is a disk without space."""
    done = subprocess.run(
        ["cp", "/proc/version", "/dev/full"], env={"LC_ALL": "C"}, capture_output=True, text=True
    )
    assert cause(done.stderr).startswith("The disk is full.")
