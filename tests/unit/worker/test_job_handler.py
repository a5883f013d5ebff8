"""From a job's input to its output: what is passed on, what is refused, and what is a failure."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from client import open_client
from fields import FIELDS, IMG2IMG, OTHER_NAMES
from handler import InputError, make_handler, parse
from tests.unit.worker.fake_webui import GOOD, IMAGE, Answer, FakeWebUI
from tests.unit.worker.test_webui_client import free_port

TXT2IMG = "/sdapi/v1/txt2img"


def run_job(url: str, job_input: object, timeout_s: float = 10.0) -> dict[str, Any]:
    """Return the output that the SDK would get for a job with this input."""

    async def run() -> dict[str, Any]:
        async with open_client(url, timeout_s) as client:
            return await make_handler(client)({"id": "a-job", "input": job_input})

    return asyncio.run(run())


def named(method: str, endpoint: str, **payload: Any) -> dict[str, Any]:
    """Return an input that names its call."""
    return {"api": {"method": method, "endpoint": endpoint}, "payload": payload}


@pytest.mark.parametrize(
    ("job_input", "endpoint"),
    [
        ({"prompt": "a fox", "steps": 1}, TXT2IMG),
        (named("POST", TXT2IMG, prompt="a fox", steps=1), TXT2IMG),
        (named("post", IMG2IMG, prompt="a fox", steps=1), IMG2IMG),
    ],
)
def test_the_payload_arrives_as_it_was_sent(
    webui: FakeWebUI, job_input: dict[str, Any], endpoint: str
) -> None:
    """Both forms of input are passed on, and the images come back untouched."""
    output = run_job(webui.url, job_input)
    assert output == {"images": [IMAGE], "parameters": {"steps": 1}, "info": "{}"}
    [(method, path, body)] = webui.requests
    assert (method, path, json.loads(body)) == ("POST", endpoint, {"prompt": "a fox", "steps": 1})


def test_a_query_returns_the_answer_as_result(webui: FakeWebUI) -> None:
    """The SDK wants an object, and many of the web UI's lists are none."""
    webui.answers = [Answer(body=[{"name": "Euler"}])]
    output = run_job(webui.url, {"api": {"method": "GET", "endpoint": "/sdapi/v1/samplers"}})
    assert output == {"result": [{"name": "Euler"}]}
    assert webui.requests == [("GET", "/sdapi/v1/samplers", b"")]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            Answer(404, {"error": "HTTPException", "detail": "Sampler not found", "errors": ""}),
            "the web UI answered 404: Sampler not found; give the schedule apart",
        ),
        (
            Answer(422, {"detail": [{"loc": ["body", "steps"], "msg": "value is not an integer"}]}),
            "the web UI answered 422: steps: value is not an integer",
        ),
        (
            Answer(
                500,
                {"error": "OutOfMemoryError", "detail": "", "errors": "CUDA out of memory."},
            ),
            "the web UI answered 500: OutOfMemoryError: CUDA out of memory.",
        ),
        (Answer(500, b"Internal Server Error"), "the web UI answered 500: Internal Server Error"),
        (Answer(500, [1]), "the web UI answered 500: [1]"),
        (Answer(422, {"detail": ["odd"]}), 'the web UI answered 422: "odd"'),
        (Answer(500, {"detail": "x" * 5000}), "the web UI answered 500: xxx"),
        (Answer(200, b"<html>"), "the web UI answered no JSON: <html>"),
        (Answer(200, {"detail": "?"}), f"the web UI answered {TXT2IMG} without images"),
        (Answer(200, ["images"]), f"the web UI answered {TXT2IMG} without images"),
        (Answer(reset=True), "the web UI cannot be reached: ReadError"),
    ],
)
def test_an_error_of_the_web_ui_is_an_error_of_the_job(
    webui: FakeWebUI, answer: Answer, error: str
) -> None:
    """The SDK reports COMPLETED unless the output has `error`; a 422 must not look like one."""
    webui.answers = [answer]
    output = run_job(webui.url, {"prompt": "a fox"})
    assert list(output) == ["error"]
    assert output["error"].startswith(error)
    assert len(output["error"]) < 1200


def test_a_web_ui_that_is_gone_is_an_error_of_the_job() -> None:
    """Between the web UI's death and the container's end a job may still come."""
    output = run_job(f"http://127.0.0.1:{free_port()}", {"prompt": "a fox"})
    assert output["error"].startswith("the web UI cannot be reached: ConnectError")


def test_a_timeout_recycles_the_worker(webui: FakeWebUI) -> None:
    """The web UI still works on the lost job: the next one would wait behind it."""
    webui.answers = [Answer(delay_s=1.0)]
    output = run_job(webui.url, {"prompt": "a fox"}, timeout_s=0.2)
    assert output == {"error": "the web UI did not answer within 0.2 s", "refresh_worker": True}


@pytest.mark.parametrize(
    ("job_input", "error"),
    [
        (None, "input must be an object"),
        ([], "input must be an object"),
        ({}, "input must be an object"),
        ({"prompt": "x", "num_inference_steps": 20}, r"'num_inference_steps' \(use 'steps'\)"),
        ({"prompt": "x", "guidance_scale": 7}, r"'guidance_scale' \(use 'cfg_scale'\)"),
        ({"prompt": "x", "stepps": 7}, r"'stepps' \(use 'steps'\)"),
        ({"prompt": "x", "zzzz": 7}, "unknown field 'zzzz'$"),
        ({"prompt": "x", "init_images": []}, f"that is 'init_images' of {IMG2IMG}"),
        ({"prompt": "x", "image": ""}, f"that is 'init_images' of {IMG2IMG}"),
        ({"payload": {"prompt": "x"}}, "unknown field 'payload'"),
        ({"prompt": float("nan")}, "cannot be written as JSON"),
        (named("POST", "/sdapi/v1/options", x=1), "POST /sdapi/v1/options is not served here"),
        (named("GET", TXT2IMG), f"GET {TXT2IMG} is not served here; allowed are POST"),
        (named("POST", "/sdapi/v1/txt2img/../options"), "is not served here"),
        (named("POST", "http://elsewhere/sdapi/v1/txt2img"), "is not served here"),
        (named("GET", "/sdapi/v1/samplers", x=1), "takes no payload"),
        ({"api": {"method": "POST"}, "payload": {}}, "input.api.endpoint: Field required"),
        ({"api": TXT2IMG}, "input.api: "),
        ({**named("POST", TXT2IMG), "prompt": "x"}, "input.prompt: Extra inputs"),
        ({**named("POST", TXT2IMG), "payload": []}, "input.payload: "),
    ],
)
def test_what_cannot_be_meant_is_refused(job_input: object, error: str) -> None:
    """The web UI ignores unknown fields without a word, and the GPU runs 50 steps."""
    with pytest.raises(InputError, match=error):
        parse(job_input)


@pytest.mark.parametrize(("foreign", "ours"), OTHER_NAMES.items())
def test_advice_never_names_another_unknown_field(foreign: str, ours: str) -> None:
    """Each foreign name leads to a field that some call has, and is no field itself."""
    assert any(ours in fields for fields in FIELDS.values())
    assert not any(foreign in fields for fields in FIELDS.values())


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)
FIELD_NAMES = st.sampled_from(sorted(FIELDS[TXT2IMG] | FIELDS[IMG2IMG] | {"num_images"}))
PAYLOADS = st.dictionaries(FIELD_NAMES, JSON, max_size=4)
CALLS = st.fixed_dictionaries(
    {
        "api": JSON
        | st.fixed_dictionaries(
            {
                "method": st.sampled_from(["GET", "POST", "PUT", ""]),
                "endpoint": st.sampled_from([TXT2IMG, IMG2IMG, "/sdapi/v1/memory", "/"]),
            }
        ),
        "payload": JSON | PAYLOADS,
    }
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(job_input=JSON | PAYLOADS | CALLS)
@example(job_input={"prompt": "\ud800"})
@example(job_input={"seed": float("inf")})
def test_any_input_is_either_passed_on_or_refused(job_input: object) -> None:
    """Whatever the input, parsing gives a call that is allowed and JSON, or an InputError."""
    try:
        request = parse(job_input)
    except InputError as error:
        assert str(error)
        return
    assert request.endpoint.startswith("/sdapi/v1/")
    if request.method == "POST":
        assert request.body is not None
        assert set(json.loads(request.body)) <= FIELDS[request.endpoint]
    else:
        assert (request.method, request.body) == ("GET", None)


ANSWERS = st.builds(
    Answer,
    status=st.sampled_from([200, 400, 404, 422, 500, 503]),
    body=st.binary() | JSON | st.just(GOOD.body),
)


# One web UI for all examples: each of them sets its answer anew. No deadline: a busy machine is
# no fault of the handler.
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(job_input=JSON | PAYLOADS, answer=ANSWERS)
def test_any_job_ends_with_images_or_an_error(
    webui: FakeWebUI, job_input: object, answer: Answer
) -> None:
    """Whatever is sent and whatever the web UI answers, the handler never raises."""
    webui.answers = [answer]
    output = run_job(webui.url, job_input)
    assert ("images" in output) != ("error" in output)
    assert "error" not in output or output["error"]
