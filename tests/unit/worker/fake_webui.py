"""A FAKE web UI for tests: a real HTTP server whose answers are canned.

In a test it runs in a thread; as a program it is the process that the supervisor starts.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n, or so").decode()


@dataclass(frozen=True)
class Answer:
    """What one request gets: a status and a body after a delay, or a reset connection."""

    status: int = 200
    body: Any = None
    delay_s: float = 0.0
    reset: bool = False


GOOD = Answer(body={"images": [IMAGE], "parameters": {"steps": 1}, "info": "{}"})
BROKEN = Answer(500, {"error": "RuntimeError", "detail": "", "errors": "still loading"})


class FakeWebUI(ThreadingHTTPServer):
    """Gives its answers one by one, and the last one for ever; keeps the requests."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        """Listen on localhost, on a free port unless one is named."""
        super().__init__(("127.0.0.1", port), _Handler)
        self.answers = [GOOD]
        self.requests: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        """Where to reach it."""
        return f"http://127.0.0.1:{self.server_port}"

    def next_answer(self) -> Answer:
        """Return the answer for the next request."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve in a thread."""
        thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FakeWebUI

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, body))
        answer = self.server.next_answer()
        time.sleep(answer.delay_s)
        if answer.reset:
            # SO_LINGER of 0 s: closing sends RST instead of FIN.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            return
        content = (
            answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        )
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


def main() -> None:
    """Be the web UI that the arguments describe."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--start-s", type=float, default=0.0, help="refuse connections that long")
    parser.add_argument("--errors", type=int, default=0, help="that many 500s before an image")
    parser.add_argument("--images", type=int, help="hang after that many images")
    parser.add_argument("--stubborn", action="store_true", help="ignore SIGTERM")
    parser.add_argument("--grandchild", type=Path, help="start one that ignores SIGTERM; its pid")
    parser.add_argument("--orphan", action="store_true", help="leave one behind that ends at once")
    options = parser.parse_args()
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.grandchild:
        child = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
        options.grandchild.write_text(str(child.pid))
    if options.orphan:
        subprocess.run(["sh", "-c", "sleep 0.01 &"], check=True)
    time.sleep(options.start_s)
    with FakeWebUI(options.port) as server:
        good = [GOOD] if options.images is None else [GOOD] * options.images
        hang = [] if options.images is None else [Answer(delay_s=3600)]
        server.answers = [BROKEN] * options.errors + good + hang
        print("fake web UI listens", os.getpid(), file=sys.stderr, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
