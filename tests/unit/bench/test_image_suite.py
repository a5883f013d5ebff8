"""Suite `image`: what the web UI applied, how pictures differ, and the driver's requests."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scripts.bench import image
from scripts.bench.probe import image as driver
from scripts.bench.suite import Settings

LOG = """\
Applying attention optimization: sdp... done.
Model loaded in 3.1s.
Applying attention optimization: sub-quadratic... done.
Disabling attention optimization
"""
SETTINGS = Settings(seed=5, rounds=2, budget_s=30, quick=False)


def png(value: int, text: str = "") -> bytes:
    info = PngInfo()
    info.add_text("parameters", text)
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


class FakeWebUi(ThreadingHTTPServer):
    """A fake of the web UI's API: it falls back from xformers and refuses V1 its picture."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log = ""
        self.option = "Automatic"
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        if body is None:
            return 200, {"cross_attention_optimization": self.option}
        self.requests.append((path, body))
        if path.endswith("options"):
            self.option = body["cross_attention_optimization"]
            name = self.option.split(" - ")[0]
            line = f"Applying attention optimization: {name}... done."
            if name == "xformers":
                line = "Applying attention optimization: InvokeAI... done."
            self.log += ("Disabling attention optimization" if name == "None" else line) + "\n"
            return 200, None
        if self.option.startswith("V1") and body["steps"] > 1:
            return 500, {"error": "RuntimeError", "errors": "CUDA out of memory"}
        value = 101 if self.option == "InvokeAI" else 100
        picture = png(value, text=str(len(self.requests)))
        return 200, {"images": [base64.b64encode(picture).decode()]}


class _Handler(BaseHTTPRequestHandler):
    server: FakeWebUi

    def _reply(self, body: dict[str, Any] | None) -> None:
        code, answer = self.server.answer(self.path, body)
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self._reply(None)

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def log_message(self, *_: object) -> None:
        pass


class Collector:
    """Takes the place of the probe's Emitter."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def emit(self, record: str, fields: dict[str, Any]) -> None:
        self.records.append({"record": record, **fields})


class Here:
    """The real driver, run in this process instead of in a container, on a fake web UI."""

    def __init__(self, server: FakeWebUi) -> None:
        self.server = server

    def probe(self, *arguments: str) -> Iterator[dict[str, Any]]:
        api, to = driver.Api(self.server.url), Collector()
        if arguments[0] == "ready":
            driver.wait_ready(api, 5)
        elif arguments[0] == "select":
            api.select(driver.TITLES[arguments[1]])
        else:
            names = tuple(arguments[arguments.index("--backends") + 1].split(","))
            driver.run(api, driver.Plan(names, 5, 2, 60.0), to)  # type: ignore[arg-type]
        yield from to.records

    def log(self) -> str:
        return self.server.log


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWebUi]:
    """A fake web UI; sessions on it end after three rounds, however they were timed."""
    monkeypatch.setattr(driver, "_done", lambda samples, index, plan: index >= 3)
    made = FakeWebUi()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_the_log_tells_what_was_applied() -> None:
    assert image.applied(LOG) == ["sdp", "sub-quadratic", "naive"]


def test_a_backend_that_the_web_ui_replaces_is_unavailable(server: FakeWebUi) -> None:
    """AUTOMATIC1111 answers 200 to any title; only its log tells that it applied another."""
    found = image.select(Here(server), "xformers")
    assert found["status"] == "unavailable"
    assert found["reason"] == "asked for xformers, the web UI applied InvokeAI"
    assert image.select(Here(server), "sdp")["status"] == "ok"


def test_every_title_leads_back_to_its_backend(server: FakeWebUi) -> None:
    assert set(driver.TITLES) == set(image.BACKENDS)
    for backend in image.BACKENDS:
        if backend != "xformers":
            assert image.select(Here(server), backend)["applied"] == backend


def test_a_silent_log_leaves_the_backend_open(
    server: FakeWebUi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "LOG_WAIT_S", 0.0)
    silent = Here(server)
    monkeypatch.setattr(silent, "log", lambda: "")
    found = image.select(silent, "sdp")
    assert (found["status"], found["applied"]) == ("ok", None)
    assert "does not say" in found["reason"]


def test_a_whole_session_against_a_fake_web_ui(server: FakeWebUi) -> None:
    records: list[dict[str, Any]] = []
    image.measure(Here(server), SETTINGS, records)
    measured = image.evaluate(records, seed=1)
    cases = {c.id.rsplit("/", 1)[-1]: c for c in measured.cases}
    assert cases["xformers"].status == "unavailable"
    assert cases["V1"].status == "oom"
    assert cases["sdp"].status == cases["sdp@again"].status == "ok"
    assert len(cases["sdp"].samples_ns) == 3
    assert cases["sdp"].bitwise is True  # the text chunk differs in each, the pixels do not
    assert cases["sdp"].resolved_kernel == "sdp"
    same, other = cases["naive"].difference, cases["InvokeAI"].difference
    assert same is not None and (same.max_abs, same.psnr_db) == (0, None)
    assert other is not None and (other.against, other.max_abs) == ("sdp", 1)
    assert {c.b.rsplit("/", 1)[-1] for c in measured.compare} == {
        *("sdp-no-mem", "Doggettx", "sub-quadratic", "InvokeAI", "naive", "sdp@again")
    }


def test_every_timed_picture_has_one_seed_and_follows_a_warm_up(server: FakeWebUi) -> None:
    image.measure(Here(server), SETTINGS, [])
    drawn = [body for path, body in server.requests if path.endswith("txt2img")]
    assert {body["seed"] for body in drawn[1:]} == {5}
    side, steps = drawn[-1]["width"], drawn[-1]["steps"]
    timed = [i for i, b in enumerate(drawn) if (b["width"], b["steps"]) == (side, steps)]
    assert all(drawn[i - 1]["steps"] == 1 for i in timed[-8:])


def test_previews_are_off_while_it_measures(server: FakeWebUi) -> None:
    image.select(Here(server), "sdp")
    assert server.requests[-1][1]["live_previews_enable"] is False


def test_waiting_for_a_web_ui_that_never_comes_ends() -> None:
    with pytest.raises(TimeoutError, match="no image from the web UI"):
        driver.wait_ready(driver.Api("http://127.0.0.1:9"), 0.01)


def test_a_slow_machine_draws_small_pictures(
    server: FakeWebUi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = driver.Api(server.url)
    plan = driver.Plan(("sdp",), 1, 20, 100.0)
    for milliseconds, size in ((0.001, (512, 20)), (2000, (64, 4))):
        taken = int(milliseconds * 1e6)
        monkeypatch.setattr(api, "draw", lambda *_, taken=taken: (taken, b""))
        assert driver._size(api, plan) == size


def test_text_in_a_png_does_not_count() -> None:
    assert driver.pixels_digest(png(1, "a")) == driver.pixels_digest(png(1, "b"))
    assert driver.pixels_digest(png(1)) != driver.pixels_digest(png(2))


def test_difference_of_pictures() -> None:
    """One value of 255 among 300, off by 30: PSNR is 10*log10(255^2 * 300 / 900)."""
    a = np.full((10, 10, 3), 100, dtype=np.int16)
    b = a.copy()
    b[0, 0, 0] += 30
    found = image.difference("sdp", a, b)
    assert found.max_abs == 30
    assert found.psnr_db == pytest.approx(10 * np.log10(255**2 / 3))
    assert image.difference("sdp", a, a).psnr_db is None


def test_a_session_cut_short_before_any_picture() -> None:
    found = {"backend": "sdp", "status": "ok", "applied": "sdp", "reason": None}
    measured = image.evaluate([{"record": "backend", **found}], seed=1)
    assert measured.cases[0].status == "discarded"
    assert measured.compare == []
