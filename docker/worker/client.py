"""Talks to the web UI: waits until it makes images, and passes calls on to it."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

TXT2IMG = "/sdapi/v1/txt2img"

# A refused connection costs nothing, so ask often; an answered one ran (and logged) a real job.
REFUSED_PAUSE_S = 0.1
ANSWERED_PAUSE_S = 1.0

# Longest text of the web UI that is passed on, in characters: its errors can hold whole payloads.
MAX_DETAIL = 1000


class NotReady(Exception):
    """The web UI made no image in time, or never will."""


class WebUIError(Exception):
    """The web UI answered a call with an error, or not as it should."""


class WebUITimeout(WebUIError):
    """The web UI did not answer in time, and may go on working on the call."""


def wait_ready(url: str, warmup: Mapping[str, Any], timeout_s: float) -> None:
    """Return once the web UI at `url` has made the warm-up image.

    Only an image proves readiness: the web UI listens, and lists its models, before the weights
    are loaded. Whether its process still lives is the supervisor's to watch.

    Raises:
        NotReady: no image within `timeout_s` seconds, or the warm-up itself was refused.
    """
    deadline = time.monotonic() + timeout_s
    fault = "it was not asked yet"
    with httpx.Client(base_url=url, trust_env=False) as client:
        while (left := deadline - time.monotonic()) > 0:
            try:
                response = client.post(TXT2IMG, json=dict(warmup), timeout=left)
            except httpx.TransportError as error:
                fault, pause = _transport_fault(error), REFUSED_PAUSE_S
            else:
                if (found := _image_fault(response)) is None:
                    return
                if _is_refusal(response):
                    raise NotReady(f"it refuses the warm-up image: {found}")
                fault, pause = found, ANSWERED_PAUSE_S
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
    raise NotReady(f"no image within {timeout_s:g} s: {fault}")


def open_client(url: str, timeout_s: float) -> httpx.AsyncClient:
    """Return a client for `call`, whose calls may take `timeout_s` seconds.

    Proxies of the environment are not for the web UI beside us. Connections are not kept: the
    web UI closes idle ones after 5 s, and a job sent at that moment would be lost.
    """
    return httpx.AsyncClient(
        base_url=url,
        timeout=httpx.Timeout(timeout_s, connect=5.0),
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
    )


async def call(client: httpx.AsyncClient, method: str, endpoint: str, body: bytes | None) -> Any:
    """Return the decoded JSON with which the web UI answers.

    Raises:
        WebUITimeout: no answer in time.
        WebUIError: any status but 200, no JSON, or a broken connection.
    """
    headers = {} if body is None else {"Content-Type": "application/json"}
    try:
        response = await client.request(method, endpoint, content=body, headers=headers)
    except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
        raise WebUITimeout(f"the web UI did not answer within {client.timeout.read:g} s") from error
    except httpx.TransportError as error:
        raise WebUIError(f"the web UI cannot be reached: {_transport_fault(error)}") from error
    if response.status_code != 200:
        raise WebUIError(_describe(response))
    try:
        return response.json()
    except ValueError as error:
        raise WebUIError(f"the web UI answered no JSON: {_shorten(response.text)}") from error


def _transport_fault(error: httpx.TransportError) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _image_fault(response: httpx.Response) -> str | None:
    """Say why a txt2img answer holds no image; None when it does."""
    if response.status_code != 200:
        return _describe(response)
    try:
        image = base64.b64decode(response.json()["images"][0], validate=True)
    except (ValueError, LookupError, TypeError, binascii.Error):
        image = b""
    return None if image else f"an answer without an image: {_shorten(response.text)}"


def _is_refusal(response: httpx.Response) -> bool:
    """Whether asking again cannot help: the request is wrong, not the moment.

    A plain 404 may be a route that is added later in the start; "Sampler not found" is final.
    """
    if response.status_code == 404:
        return _detail(response) not in ("", "Not Found")
    return response.status_code in (400, 401, 403, 405, 422)


def _describe(response: httpx.Response) -> str:
    detail = _detail(response) or response.reason_phrase
    if response.status_code == 404 and detail == "Sampler not found":
        detail += "; give the schedule apart, as sampler_name 'DPM++ 2M' and scheduler 'Karras'"
    return f"the web UI answered {response.status_code}: {_shorten(detail)}"


def _detail(response: httpx.Response) -> str:
    """Return what an error answer says, in one line.

    The web UI has three forms: {"detail": TEXT}; FastAPI's {"detail": [{"loc", "msg"}, ...]};
    and, for an exception, {"error": TYPE, "detail": TEXT or "", "errors": MESSAGE}.
    """
    try:
        body = response.json()
    except ValueError:
        return response.text.strip()
    if not isinstance(body, dict):
        return json.dumps(body)
    detail = body.get("detail")
    if isinstance(detail, list):
        return "; ".join(_field_fault(fault) for fault in detail)
    if detail:
        return str(detail)
    parts = [str(body[key]) for key in ("error", "errors") if body.get(key)]
    return ": ".join(parts) or json.dumps(body)


def _field_fault(fault: Any) -> str:
    if not isinstance(fault, dict) or not isinstance(fault.get("loc"), list):
        return json.dumps(fault)
    place = ".".join(str(part) for part in fault["loc"] if part != "body")
    return f"{place or 'the payload'}: {fault.get('msg', 'is not valid')}"


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]} [...]"
