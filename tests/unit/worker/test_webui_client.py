"""Waiting for the web UI: only an image proves readiness, and the wait is bounded."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from client import NotReady, wait_ready
from tests.unit.worker.fake_webui import BROKEN, GOOD, Answer, FakeWebUI

WARMUP = {"prompt": "", "steps": 1}


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_waits_until_something_listens() -> None:
    """Refused connections are the normal start."""
    port = free_port()
    began = time.monotonic()
    fakes: list[FakeWebUI] = []

    def listen_late() -> None:
        time.sleep(0.3)
        fakes.append(FakeWebUI(port))
        fakes[0].handle_request()

    thread = threading.Thread(target=listen_late)
    thread.start()
    wait_ready(f"http://127.0.0.1:{port}", WARMUP, 10)
    thread.join()
    fakes[0].server_close()
    assert time.monotonic() - began >= 0.3
    assert fakes[0].requests == [("POST", "/sdapi/v1/txt2img", b'{"prompt":"","steps":1}')]


@pytest.mark.parametrize(
    "not_yet",
    [
        BROKEN,
        Answer(404, {"detail": "Not Found"}),
        Answer(503, b"busy"),
        Answer(200, {"images": []}),
        Answer(200, {"images": [""]}),
        Answer(200, {"images": ["not base64!"]}),
        Answer(200, b"<html>"),
        Answer(reset=True),
    ],
)
def test_anything_but_an_image_is_asked_again(
    webui: FakeWebUI, monkeypatch: pytest.MonkeyPatch, not_yet: Answer
) -> None:
    """A web UI that still loads answers 500, and its routes may come later than its port."""
    monkeypatch.setattr("client.ANSWERED_PAUSE_S", 0.01)
    webui.answers = [not_yet, not_yet, GOOD]
    wait_ready(webui.url, WARMUP, 10)
    assert len(webui.requests) == 3


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (
            Answer(422, {"detail": [{"loc": ["body", "steps"], "msg": "not a number"}]}),
            "422: steps: not a number",
        ),
        (Answer(404, {"error": "HTTPException", "detail": "Sampler not found"}), "Sampler not"),
        (Answer(401, {"detail": "Incorrect username or password"}), "401: Incorrect username"),
    ],
)
def test_a_refused_warmup_is_not_asked_again(
    webui: FakeWebUI, refusal: Answer, reason: str
) -> None:
    """What cannot get better must not cost ten minutes of GPU time."""
    webui.answers = [refusal]
    with pytest.raises(NotReady, match=f"refuses the warm-up image: .*{reason}"):
        wait_ready(webui.url, WARMUP, 60)
    assert len(webui.requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(BROKEN, "RuntimeError: still loading"), (Answer(delay_s=2), "ReadTimeout")],
)
def test_the_wait_is_bounded_and_names_the_last_fault(
    webui: FakeWebUI, answer: Answer, reason: str
) -> None:
    """An endless readiness loop burns money; a web UI that hangs is one way into it."""
    webui.answers = [answer]
    began = time.monotonic()
    with pytest.raises(NotReady, match=rf"no image within 0.3 s: .*{reason}"):
        wait_ready(webui.url, WARMUP, 0.3)
    assert 0.2 < time.monotonic() - began < 1.5


def test_a_port_on_which_nobody_listens_is_bounded_too() -> None:
    """The web UI may hang before it opens its port."""
    with pytest.raises(NotReady, match="ConnectError"):
        wait_ready(f"http://127.0.0.1:{free_port()}", WARMUP, 0.3)


def test_proxies_of_the_environment_are_not_asked(
    webui: FakeWebUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The web UI is beside us, whatever the way out of the container is."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    wait_ready(webui.url, WARMUP, 5)
    assert len(webui.requests) == 1
