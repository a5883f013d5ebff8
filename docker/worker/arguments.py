"""Checks, before anything slow is started, that the container was told what to serve.

The arguments themselves go to RunPod's SDK unchanged. The SDK (1.12.0) parses them late, passes
over the ones it does not know, and without a job source looks for a test_input.json and gives
up: all of that only after the web UI has taken its half minute to start.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence

WEBUI_ONLY_VARIABLE = "SDKILN_WEBUI_ONLY"

# What RunPod sets in its workers: where to fetch jobs, or the port of a load-balanced endpoint.
JOB_SOURCES = ("RUNPOD_WEBHOOK_GET_JOB", "RUNPOD_REALTIME_PORT")


def check_arguments(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Return if there is something to serve; else explain and raise SystemExit(2)."""
    parser = _parser()
    options = parser.parse_args(argv)
    if is_webui_only(environ) or options.rp_serve_api or options.test_input is not None:
        return
    if not any(environ.get(name) for name in JOB_SOURCES):
        parser.error(
            "nothing to serve: this is not a RunPod worker (RUNPOD_WEBHOOK_GET_JOB is not set); "
            "add --rp_serve_api --rp_api_host 0.0.0.0 for an API on port 8000, "
            'or --test_input \'{"input": {"prompt": "a red fox"}}\' for a single job'
        )


def is_webui_only(environ: Mapping[str, str]) -> bool:
    """Whether the container is to start and prove the web UI, and serve no jobs."""
    return environ.get(WEBUI_ONLY_VARIABLE) == "1"


def _parser() -> argparse.ArgumentParser:
    """Mirror the arguments of runpod.serverless.start in SDK 1.12.0.

    All but --rp_api_concurrency: the SDK can only be started with 1, its default.
    """
    parser = argparse.ArgumentParser(
        prog="docker run IMAGE",
        allow_abbrev=False,
        description="Serve the web UI's API as RunPod jobs.",
        epilog=f"{WEBUI_ONLY_VARIABLE}=1 starts the web UI, proves it ready, and serves no jobs.",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--rp_serve_api", action="store_true", help="serve an HTTP API here")
    mode.add_argument("--test_input", type=_job, metavar="JSON", help="run one job, then end")
    parser.add_argument("--rp_api_host", default="localhost", help="default: localhost")
    parser.add_argument("--rp_api_port", type=int, default=8000, help="default: 8000")
    parser.add_argument("--rp_log_level", choices=("ERROR", "WARN", "INFO", "DEBUG"))
    parser.add_argument("--rp_debugger", action="store_true", help="add timings to the output")
    return parser


def _job(text: str) -> object:
    try:
        job = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(job, dict) or job.get("input") is None:
        raise argparse.ArgumentTypeError('must be an object with "input", as {"input": {...}}')
    return job
