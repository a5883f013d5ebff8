"""Turns a RunPod job into a call of the web UI, and its answer into the job's output.

A job's input is either a txt2img payload itself, as in RunPod's worker-a1111,

    {"prompt": "a red fox", "steps": 20}

or a call that is named:

    {"api": {"method": "POST", "endpoint": "/sdapi/v1/img2img"}, "payload": {...}}

The SDK marks a job FAILED if, and only if, the output has the key `error`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from client import TXT2IMG, WebUIError, WebUITimeout, call
from fields import FIELDS, advice
from log import say

# Calls that only read. Everything else stays shut: the other calls change the web UI for the
# jobs that follow, read files, or fetch models.
QUERIES = frozenset(
    f"/sdapi/v1/{name}" for name in ("memory", "options", "samplers", "schedulers", "sd-models")
)

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class InputError(Exception):
    """The job's input asks for nothing that can be passed to the web UI."""


class Api(BaseModel):
    """The call that an input names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    method: str
    endpoint: str


class NamedCall(BaseModel):
    """An input that names its call."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    api: Api
    payload: dict[str, Any] = {}


@dataclass(frozen=True)
class Call:
    """One request to the web UI; `body` is JSON, or None for a GET."""

    method: str
    endpoint: str
    body: bytes | None


def make_handler(client: httpx.AsyncClient) -> Handler:
    """Return the coroutine function that the SDK calls with each job.

    It is asynchronous so that a long job does not block the SDK's own loop, which fetches jobs,
    answers status calls and cancels. It never raises: what is wrong is the output's `error`.
    """

    async def handle(job: dict[str, Any]) -> dict[str, Any]:
        try:
            request = parse(job.get("input"))
            answer = await call(client, request.method, request.endpoint, request.body)
            return output(request, answer)
        except WebUITimeout as error:
            # The web UI may hang, and the next job would wait behind this one.
            return _failed(job, error) | {"refresh_worker": True}
        except (InputError, WebUIError) as error:
            return _failed(job, error)

    return handle


def parse(job_input: object) -> Call:
    """Return the call that a job's input asks for.

    Raises:
        InputError: not an object, no allowed call, an unknown field, or a value JSON cannot hold.
    """
    if not isinstance(job_input, dict) or not job_input:
        raise InputError('input must be an object that is not empty, as {"prompt": "a red fox"}')
    if "api" not in job_input:
        return _generation(TXT2IMG, job_input)
    try:
        named = NamedCall.model_validate(job_input)
    except ValidationError as error:
        faults = "; ".join(
            f"input.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise InputError(
            f'{faults}; a call is named as {{"api": {{"method": "POST", '
            f'"endpoint": "{TXT2IMG}"}}, "payload": {{...}}}}'
        ) from error
    method, endpoint = named.api.method.upper(), named.api.endpoint
    if method == "POST" and endpoint in FIELDS:
        return _generation(endpoint, named.payload)
    if method == "GET" and endpoint in QUERIES:
        if named.payload:
            raise InputError(f"GET {endpoint} takes no payload")
        return Call(method, endpoint, None)
    allowed = [f"POST {name}" for name in FIELDS] + [f"GET {name}" for name in sorted(QUERIES)]
    raise InputError(f"{method} {endpoint} is not served here; allowed are {', '.join(allowed)}")


def output(request: Call, answer: Any) -> dict[str, Any]:
    """Return the job's output: the answer itself if it holds images, else {"result": answer}.

    Images are PNG in base64, as the web UI sends them.

    Raises:
        WebUIError: an answer that should hold images does not.
    """
    if request.endpoint in QUERIES:
        return {"result": answer}
    if not isinstance(answer, dict) or not isinstance(answer.get("images"), list):
        raise WebUIError(f"the web UI answered {request.endpoint} without images")
    return {key: answer[key] for key in ("images", "parameters", "info") if key in answer}


def _generation(endpoint: str, payload: dict[Any, Any]) -> Call:
    unknown = [name for name in payload if name not in FIELDS[endpoint]]
    if unknown:
        raise InputError(
            "; ".join(f"unknown field {name!r}{advice(endpoint, str(name))}" for name in unknown)
        )
    try:
        return Call("POST", endpoint, json.dumps(payload, allow_nan=False).encode("ascii"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the payload cannot be written as JSON: {error}") from error


def _failed(job: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    say(f"job {job.get('id', 'without id')} failed", str(error))
    return {"error": str(error)}
