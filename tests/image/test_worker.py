"""The worker in the image answers jobs in the strictest container, or ends with a code."""

import base64
import io
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from scripts.serve.__main__ import container as served
from tests.support.containers import python, strict

JOB = {"input": {"prompt": "a red fox", "steps": 1, "width": 64, "height": 64}}
POST = """
import urllib.request
request = urllib.request.Request(
    "http://127.0.0.1:8000/runsync",
    data={job!r}.encode(),
    headers={{"Content-Type": "application/json"}},
)
print(urllib.request.urlopen(request, timeout=120).read().decode())
"""
KILL_THE_WEB_UI = r"""
import os, pathlib, signal
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if b"webui.py" in path.read_bytes().split(b"\0"):
        os.kill(int(path.parent.name), signal.SIGKILL)
"""


def png(data: str) -> Image.Image:
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    picture.load()
    assert picture.format == "PNG"
    return picture


def test_a_job_is_answered_with_a_png_without_network_root_or_a_writable_root_file_system(
    engine: Engine, image: BuildRecord
) -> None:
    arguments = ["--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", "8000"]
    with strict(engine, image, arguments) as started:
        started.wait_for("Uvicorn running on http://127.0.0.1:8000")
        reply = json.loads(python(started.container, POST.format(job=json.dumps(JOB))))
    assert reply["status"] == "COMPLETED", reply
    assert png(reply["output"]["images"][0]).size == (64, 64)


def test_a_test_job_ends_the_container_with_0(engine: Engine, image: BuildRecord) -> None:
    with strict(engine, image, ["--test_input", json.dumps(JOB)]) as started:
        assert started.wait() == 0, started.log()


def test_the_container_ends_with_a_code_when_the_web_ui_is_killed(
    engine: Engine, image: BuildRecord
) -> None:
    with strict(engine, image, environment={"SDKILN_WEBUI_ONLY": "1"}) as started:
        started.wait_for("web UI ready")
        killed = time.monotonic()
        python(started.container, KILL_THE_WEB_UI)
        assert started.wait(30) == 70, started.log()
        assert time.monotonic() - killed < 20


def test_the_container_ends_in_time_when_it_is_stopped(engine: Engine, image: BuildRecord) -> None:
    with strict(engine, image, environment={"SDKILN_WEBUI_ONLY": "1"}) as started:
        started.wait_for("web UI ready")
        started.container.stop(timeout=10)
        # 137 would be Docker's SIGKILL after its ten seconds.
        assert started.wait(30) == 143, started.log()


def test_without_a_source_of_jobs_it_ends_with_a_sentence(
    engine: Engine, image: BuildRecord
) -> None:
    with strict(engine, image) as started:
        assert started.wait(60) == 2
        assert "--rp_serve_api" in started.log()


@pytest.fixture(scope="module")
def url(engine: Engine, image: BuildRecord) -> Iterator[str]:
    """The SDK's local API of a container started as `serve` starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with served(image.image, port) as running:
        deadline = time.monotonic() + 300
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, running.logs().decode()
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"


def run(url: str, job: dict[str, object]) -> dict[str, object]:
    reply: dict[str, object] = httpx.post(f"{url}/runsync", json={"input": job}, timeout=120).json()
    return reply


def test_txt2img_through_the_handler_gives_a_valid_png_of_the_size_asked_for(url: str) -> None:
    reply = run(url, {"prompt": "a cat", "steps": 2, "width": 128, "height": 64, "seed": 7})
    assert reply["status"] == "COMPLETED", reply
    output = reply["output"]
    assert isinstance(output, dict)
    assert png(output["images"][0]).size == (128, 64)


def test_the_same_seed_gives_the_same_picture(url: str) -> None:
    job: dict[str, object] = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64, "seed": 7}
    one, other = run(url, job)["output"], run(url, job)["output"]
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    assert png(one["images"][0]).tobytes() == png(other["images"][0]).tobytes()


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"prompt": "x", "sampler_name": "DPM++ 2M Karras"}, "Sampler not found"),
        ({"prompt": "x", "steps": "many"}, "steps"),
        ({"prompt": "x", "num_inference_steps": 4}, "steps"),
        ({"api": {"method": "POST", "endpoint": "/sdapi/v1/x"}, "payload": {}}, "/sdapi/v1/x"),
        ({}, ""),
    ],
)
def test_a_job_that_cannot_be_done_fails_and_says_why(
    url: str, job: dict[str, object], said: str
) -> None:
    reply = run(url, job)
    assert reply["status"] == "FAILED", reply
    assert said in str(reply["error"])


def test_a_port_in_use_is_named_with_the_way_out(url: str) -> None:
    from tests.support.commands import command

    done = command("serve", f"--port={url.rsplit(':', 1)[1]}")
    assert done.returncode == 2
    assert "cannot be used: Address already in use" in done.stderr
    assert "--port N" in done.stderr
