"""Suite `image`: what the web UI applied, how pictures differ, and the driver's requests."""

import base64
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any, cast, get_args

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scripts.bench import container, image
from scripts.bench.exports import system_info
from scripts.bench.probe import image as driver
from scripts.bench.probe import image_plan, nvml, webui, webui_memory
from scripts.bench.probe.__main__ import parser
from scripts.bench.probe.attn_plan import Choice, Device
from scripts.bench.probe.image_plan import Pictures
from scripts.bench.probe.nvml import Reading
from scripts.bench.schema import contradictions
from scripts.bench.suite import Settings
from tests.support.results import run_of

LOG = """\
Applying attention optimization: sdp... done.
Model loaded in 3.1s.
Applying attention optimization: sub-quadratic... done.
Disabling attention optimization
"""
SETTINGS = Settings(seed=5, rounds=2, budget_s=300, choice=Choice("quick"), exact=True)


def png(value: int, text: str = "") -> bytes:
    info = PngInfo()
    info.add_text("parameters", text)
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (value, value, value)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


class FakeWebUi(ThreadingHTTPServer):
    """A fake of the web UI's API: it falls back from xformers and refuses V1 its pictures.

    `cuda` is what its memory says of a GPU, `peak` what each picture makes it reserve of that.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log = ""
        self.option = "Automatic"
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.cuda: dict[str, Any] = {"error": "unavailable"}
        self.peak = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        if path.endswith("cmd-flags"):
            return 200, {"no_half": not self.peak, "use_cpu": [] if self.peak else ["all"]}
        if path.endswith("memory"):
            return 200, {"ram": {}, "cuda": self.cuda}
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
        if self.peak:
            self.cuda["reserved"]["peak"] = max(self.cuda["reserved"]["peak"], self.peak)
        value = 101 if self.option == "InvokeAI" else 100
        batch = [png(value + i, text=str(len(self.requests))) for i in range(body["batch_size"])]
        return 200, {"images": [base64.b64encode(picture).decode() for picture in batch]}


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
        api, to = webui.Api(self.server.url), Collector()
        if arguments[0] == "ready":
            webui.wait_ready(api, 5)
        elif arguments[0] == "select":
            api.select(webui.TITLES[arguments[1]])
        else:
            args = parser().parse_args(arguments)
            many = (args.budget, args.size, args.exact, args.skip)
            plan = driver.Plan(args.backends, args.seed, args.rounds, *many)
            driver.run(api, plan, to)  # type: ignore[arg-type]
        yield from to.records

    def log(self) -> str:
        return self.server.log


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWebUi]:
    """A fake web UI; sessions on it end after three rounds, however they were timed."""
    monkeypatch.setattr(driver, "done", lambda samples, index, plan: index >= 3)
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
    assert set(webui.TITLES) == set(image.BACKENDS)
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
    assert same is not None and (same.max_abs, same.mean_abs, same.psnr_db) == (0, 0, None)
    assert other is not None and (other.against, other.max_abs, other.mean_abs) == ("sdp", 1, 1)
    assert cases["sdp"].id == "image/txt2img-512-20steps/float32/sdp"
    assert cases["sdp"].dtype == "float32"
    assert any("no other was run" in note for note in measured.notes)
    assert {c.b.rsplit("/", 1)[-1] for c in measured.compare} == {
        *("sdp-no-mem", "Doggettx", "sub-quadratic", "InvokeAI", "naive", "sdp@again")
    }


def test_every_timed_picture_has_one_seed_and_follows_one_of_the_same_optimization(
    server: FakeWebUi,
) -> None:
    """After a switch that is one of one step; where nothing was switched, there is none."""
    to = Collector()
    plan = driver.Plan(("sdp", "naive"), 5, 2, 300, "quick", True)
    driver.run(webui.Api(server.url), plan, to)  # type: ignore[arg-type]
    drawn = [body for path, body in server.requests if path.endswith("txt2img")]
    assert {body["seed"] for body in drawn} == {5}
    rounds = [r for r in to.records if r["record"] == "round"]
    asked = [name.removesuffix("@again") for each in rounds for name in each["order"]]
    expected: list[str | int] = []
    for before, now in pairwise([None, *asked]):
        expected += ["options", 1, 20] if now != before else [20]
    assert len(expected) < 3 * len(asked)
    made = [body.get("steps", "options") for _, body in server.requests]
    assert made[-len(expected) :] == expected


def test_the_rounds_time_is_told_apart_into_pictures_warm_up_and_the_rest(
    server: FakeWebUi,
) -> None:
    records: list[dict[str, Any]] = []
    image.measure(Here(server), SETTINGS, records)
    (end,) = [r for r in records if r["record"] == "shape_end"]
    assert 0 < end["warmup_share"] < 1
    assert 0 < end["outside_share"] < 1 - end["warmup_share"]
    for case in image.evaluate(records, seed=1).cases:
        assert case.shape["warmup_share"] == end["warmup_share"]
        assert case.shape["outside_share"] == end["outside_share"]


class HotWatch:
    """A fake of the watch on a GPU that is slowed by heat in its second round."""

    def __init__(self) -> None:
        self.looks = 0

    def begin(self, use: Any, beside: int) -> list[str]:
        assert beside == 1
        return ["the GPU is in use by 3 other processes"]

    def read(self) -> Reading:
        self.looks += 1
        return Reading({"hw_thermal_slowdown_ns": 5 * (self.looks >= 4)}, sm_mhz=1980)

    def sm_mhz(self) -> int:
        return 1980


def test_rounds_of_a_slowed_gpu_do_not_count_and_who_uses_it_is_told(
    server: FakeWebUi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml, "watch", lambda _: (HotWatch(), "NVML 13"))
    records: list[dict[str, Any]] = []
    image.measure(Here(with_gpu(server)), SETTINGS, records)
    measured = image.evaluate(records, seed=1)
    cases = {case.id.rsplit("/", 1)[-1]: case for case in measured.cases}
    sdp = cases["sdp"]
    assert len(sdp.samples_ns) == len(sdp.nvml) == len(sdp.cycles) == 3
    assert [(each.round, each.reason) for each in sdp.discarded] == [(1, "hw thermal slowdown")]
    assert "1 rounds discarded" in str(sdp.reason)
    assert len([r for r in records if r["record"] == "round"]) == 4
    assert "image: the GPU is in use by 3 other processes" in measured.notes
    run = run_of(tuple(measured.cases), tuple(measured.compare))
    assert list(contradictions(run)) == []


def test_a_gpu_without_nvml_is_said_loudly(
    server: FakeWebUi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    records: list[dict[str, Any]] = []
    image.measure(Here(with_gpu(server)), SETTINGS, records)
    notes = image.evaluate(records, seed=1).notes
    assert any("THE GPU IS NOT WATCHED: no round is discarded" in note for note in notes)
    assert not any("NOT WATCHED" in note for note in cpu_notes(server))


def cpu_notes(server: FakeWebUi) -> list[str]:
    server.peak, server.cuda = 0, {"error": "unavailable"}
    records: list[dict[str, Any]] = []
    image.measure(Here(server), SETTINGS, records)
    return image.evaluate(records, seed=1).notes


def test_previews_are_off_while_it_measures(server: FakeWebUi) -> None:
    image.select(Here(server), "sdp")
    assert server.requests[-1][1]["live_previews_enable"] is False


def test_waiting_for_a_web_ui_that_never_comes_ends() -> None:
    with pytest.raises(TimeoutError, match="no image from the web UI"):
        webui.wait_ready(webui.Api("http://127.0.0.1:9"), 0.01)


def test_a_slow_machine_draws_small_pictures(
    server: FakeWebUi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = webui.Api(server.url)
    plan = driver.Plan(("sdp",), 1, 20, 100.0)
    for milliseconds, size in ((0.001, (512, 20)), (300, (512, 20)), (2000, (64, 4))):
        taken = int(milliseconds * 1e6)
        monkeypatch.setattr(api, "draw", lambda *_, taken=taken: (taken, []))
        assert driver.largest(api, plan, 100.0) == size


def test_pictures_are_smaller_where_others_need_the_time_beside(
    server: FakeWebUi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture takes 20 ms for each 64x64: 128x128 would fit if the plain one were alone."""
    api = webui.Api(server.url)
    monkeypatch.setattr(
        api, "draw", lambda _, pictures: (int(2e7 * (pictures.side / 64) ** 2), [b""])
    )
    alone = driver.Plan(("sdp",), 1, 20, 12.0, "quick")
    assert driver.largest(api, alone, 12.0) == (128, 4)
    assert driver.largest(api, replace(alone, size="default"), 12.0) == (64, 4)


def test_text_in_a_png_does_not_count() -> None:
    assert driver.pixels_digest([png(1, "a")]) == driver.pixels_digest([png(1, "b")])
    assert driver.pixels_digest([png(1)]) != driver.pixels_digest([png(2)])
    assert driver.pixels_digest([png(1), png(2)]) != driver.pixels_digest([png(1), png(1)])


def test_difference_of_pictures() -> None:
    """One value of 255 among 300, off by 30: PSNR is 10*log10(255^2 * 300 / 900)."""
    a = np.full((10, 10, 3), 100, dtype=np.int16)
    b = a.copy()
    b[0, 0, 0] += 30
    found = image.difference("sdp", a, b)
    assert found.max_abs == 30
    assert found.mean_abs == pytest.approx(0.1)
    assert found.psnr_db == pytest.approx(10 * np.log10(255**2 / 3))
    assert image.difference("sdp", a, a).psnr_db is None


def test_a_session_cut_short_before_any_picture() -> None:
    found = {"backend": "sdp", "status": "ok", "applied": "sdp", "reason": None}
    measured = image.evaluate([{"record": "backend", **found}], seed=1)
    assert measured.cases[0].status == "discarded"
    assert measured.compare == []


DEFAULT = replace(SETTINGS, choice=Choice("default"))


def with_gpu(server: FakeWebUi) -> FakeWebUi:
    server.peak, server.cuda = 1, {"reserved": {"current": 0, "peak": 0}}
    return server


def test_the_default_on_a_gpu_draws_every_batch_prompt_and_size_and_exports_a_row(
    server: FakeWebUi,
) -> None:
    """System Info's row has a place for each of the batches 1, 2, 4, 8 and 16."""
    records: list[dict[str, Any]] = []
    image.measure(Here(with_gpu(server)), DEFAULT, records)
    measured = image.evaluate(records, seed=1)
    sdp = [case for case in measured.cases if case.requested == "sdp" and "@" not in case.id]
    assert [case.shape["name"] for case in sdp] == [
        "txt2img-512-20steps",
        *(f"txt2img-512-20steps-x{batch}" for batch in (2, 4, 8, 16)),
        *(f"txt2img-512-20steps-t{tokens}" for tokens in (154, 231)),
        *("txt2img-768-20steps", "txt2img-1024-20steps"),
    ]
    run = run_of(tuple(measured.cases), tuple(measured.compare))
    assert list(contradictions(run)) == []
    rows = [row for row in system_info.text(run).splitlines() if "| sdp |" in row]
    (batches,) = [row.split(" | ")[1] for row in rows if row.split(" | ")[1].count("/") == 4]
    assert "error" not in batches


def test_a_continued_session_draws_what_was_left_at_the_size_that_it_was_begun_with(
    server: FakeWebUi,
) -> None:
    records: list[dict[str, Any]] = []
    before = ("txt2img-128-4steps", "txt2img-128-4steps-x2", "txt2img-192-4steps")
    image.measure(Here(with_gpu(server)), replace(DEFAULT, skip=before), records)
    names = [record["key"] for record in records if record["record"] == "shape"]
    assert names[0] == "txt2img-128-4steps-x4"
    assert not set(names) & set(before)
    assert "txt2img-256-4steps" in names


def test_what_there_is_no_time_for_says_so_and_the_plain_picture_has_a_round(
    server: FakeWebUi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "done", lambda *_: False)
    monkeypatch.setattr(driver, "largest", lambda *_: (512, image_plan.STEPS))
    monkeypatch.setattr("scripts.bench.probe.image.time.monotonic", iter(range(10**6)).__next__)
    records: list[dict[str, Any]] = []
    image.measure(Here(with_gpu(server)), replace(DEFAULT, budget_s=1), records)
    cases = image.evaluate(records, seed=1).cases
    plain = [case for case in cases if case.shape["name"] == "txt2img-512-20steps"]
    assert [len(case.samples_ns) for case in plain if case.status == "ok"] == [1] * 7
    late = [case for case in cases if case not in plain and case.requested != "xformers"]
    assert {(case.status, case.reason) for case in late} == {("discarded", "no time left")}


def test_a_pause_of_the_machine_at_the_first_picture_leaves_the_others_their_time(
    server: FakeWebUi,
) -> None:
    batch = driver._PicturesRun(
        Pictures(64, 4, 2),
        webui.Api(server.url),
        driver.Plan(("sdp", "naive"), 1, 6, 60.0),
        Collector(),  # type: ignore[arg-type]
        webui_memory.Unknown("a fake"),
    )
    latest = time.monotonic() + 60
    batch.tried_s = [1000.0]
    assert batch._too_late(latest) is None
    batch.tried_s = [1000.0, 0.1]
    assert batch._too_late(latest) is None
    batch.tried_s = [1000.0, 900.0]
    assert "no time was left for a round, of about 10800 s" in str(batch._too_late(latest))


def test_prompts_are_as_long_as_their_names_say() -> None:
    """Pieces of 75 tokens, of which each gets a start and an end."""
    for tokens in image_plan.TOKENS:
        words = len(Pictures(512, 20, tokens=tokens).prompt.split())
        assert (words - 1) // 75 + 1 == tokens // 77


def test_every_set_of_pictures_has_a_name_of_its_own_that_tells_the_size() -> None:
    for size in get_args(image_plan.SizeName):
        for side, steps in image_plan.LADDER:
            plan = image_plan.planned(size, side, steps)
            assert len({each.name for each in plan}) == len(plan)
            assert image_plan.first_of(plan[0].name) == (side, steps)
            assert sum(image_plan.shares(plan)) == pytest.approx(1)
            assert all(each.side % 8 == 0 for each in plan)
            assert plan[0].scaled is None or "to fit the time" in plan[0].scaled


def test_a_default_run_on_a_cpu_has_its_time_for_one_picture() -> None:
    on = {device: image_plan.drawn("default", device) for device in get_args(Device)}
    assert [each.batch for each in image_plan.planned(on["cpu"], 64, 4)] == [1]
    batches = {each.batch for each in image_plan.planned(on["cuda"], 512, 20)}
    assert batches == set(image_plan.BATCHES)
    assert image_plan.drawn("full", "cpu") == "full"


def test_the_type_is_that_of_the_web_uis_flags(server: FakeWebUi) -> None:
    api = webui.Api(server.url)
    assert webui.dtype_of(api) == "float32"
    with_gpu(server)
    assert webui.dtype_of(api) == "float16"


def test_on_cuda_a_new_peak_is_told_exactly_and_a_lower_one_as_it_was_seen(
    server: FakeWebUi,
) -> None:
    server.peak, server.cuda = 700, {"reserved": {"current": 100, "peak": 100}}
    api = webui.Api(server.url)
    memory = webui_memory.memory_of(api)
    assert isinstance(memory, webui_memory.Reserved)
    assert memory.around(lambda: api.draw(1, Pictures(64, 1)))[1] == 700
    api.draw(1, Pictures(64, 1))
    server.cuda["reserved"]["current"] = 300  # as seen in the middle of a picture
    assert memory.around(lambda: time.sleep(0.2))[1] == 300


@pytest.mark.parametrize("broken", ["refused", "no number", "no connection"])
def test_a_peak_of_which_the_web_ui_told_a_part_only_is_not_known(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers before and after, and once in three times meanwhile."""
    asked = 0

    class Half:
        def ask(self, _path: str) -> Any:
            nonlocal asked
            asked += 1
            if asked % 3 != 1:
                if broken == "refused":
                    raise webui.Refused("HTTP 500 from memory")
                if broken == "no connection":
                    raise ConnectionResetError
                return {"cuda": {"error": "unavailable"}}
            return {"cuda": {"reserved": {"current": 300, "peak": 700}}}

    monkeypatch.setattr(webui_memory, "POLL_S", 0.001)
    memory = webui_memory.Reserved(cast(Any, Half()))
    assert memory.around(lambda: time.sleep(0.1)) == (None, None)
    assert asked > 5


def test_the_web_ui_numbers_gpus_as_nvml_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine of several; the engine is a fake that makes no container."""
    given: dict[str, str] = {}

    class Created(Exception):
        """The container would be there now."""

    def created(*_: object, environment: dict[str, str], packages: object) -> Any:
        given.update(environment)
        raise Created

    monkeypatch.setattr(container, "created", created)
    with pytest.raises(Created):
        image.run(cast(Any, None), "sdkiln:x", DEFAULT, [])
    assert given == {"SDKILN_WEBUI_ONLY": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_a_process_is_found_by_its_port_and_its_peak_begins_anew() -> None:
    """A child that takes 64 MiB at the first call, gives it back, and takes 16 at the second."""
    child = """
import mmap, socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
for line in sys.stdin:
    area = mmap.mmap(-1, int(line) << 20)
    area.write(b"x" * len(area))
    area.close()
    print("done", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    asked, told = process.stdin, process.stdout

    def take(mib: int) -> str:
        asked.write(f"{mib}\n")
        asked.flush()
        return told.readline()

    with process:
        found = webui_memory.listener(int(told.readline()))
        assert found == process.pid
        memory = webui_memory.Resident(found)
        take(1)
        peaks = [memory.around(partial(take, mib))[1] or 0 for mib in (64, 16)]
        asked.close()
    # A write of bytes holds them twice for a while.
    assert 64 << 20 <= peaks[0] < 160 << 20
    assert 16 << 20 <= peaks[1] < 64 << 20


def test_a_process_that_cannot_be_seen_leaves_the_memory_open() -> None:
    assert webui_memory.listener(1) is None
