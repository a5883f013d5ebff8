"""The worker process: waits until the web UI makes images, then serves jobs with RunPod's SDK."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from typing import Any

from arguments import is_webui_only
from client import NotReady, open_client, wait_ready
from handler import make_handler
from launch import load_launch
from log import say

NEVER_READY = 71
"""Exit code: the web UI lives, but made no image within ready_timeout_s."""


def main() -> int:
    """Serve until the SDK ends; return the exit code, or leave with the SDK's own."""
    launch = load_launch(os.environ)
    webui_only = is_webui_only(os.environ)
    # Importing the SDK takes 2 s of one core; the web UI needs longer than that to start.
    sdk = None if webui_only else import_sdk()
    try:
        wait_ready(launch.url, launch.warmup, launch.ready_timeout_s)
    except NotReady as error:
        say("web UI never became ready", str(error))
        return NEVER_READY
    say("web UI ready")
    if sdk is None:
        while True:
            signal.pause()
    sdk.start({"handler": make_handler(open_client(launch.url, launch.job_timeout_s))})
    return 0


def import_sdk() -> Any:
    """Return runpod.serverless, told to be quiet: by default it logs each job with its images."""
    if "RUNPOD_DEBUG_LEVEL" not in os.environ:
        os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return importlib.import_module("runpod").serverless


if __name__ == "__main__":
    sys.exit(main())
