"""Stand-in for AUTOMATIC1111's web UI, so that sdkiln runs where the real source cannot be had.

    python webui.py --ckpt /models/tiny.safetensors --port 3000 --api --nowebui ...

It takes the web UI's flags and serves the part of its API that sdkiln uses, by running the model of
`--ckpt` with diffusers. It is not the web UI: see standin/__init__.py.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType

# What the stand-in needs beyond the web UI's environment is installed beside it.
PACKAGES = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
sys.path.insert(0, str(Path(__file__).resolve().parent / PACKAGES))

log = logging.getLogger("standin")


def stop(number: int, _: FrameType | None) -> None:
    """End at once: whatever is written is written atomically, so nothing is left half-done."""
    os._exit(128 + number)


def listen(host: str, port: int) -> socket.socket | None:
    """The bound socket, or None, with a message, when the address is taken or is none."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        log.error(
            "Cannot listen on %s port %s: %s. Stop what uses it, or choose another with "
            "--server-name and --port.",
            host,
            port,
            getattr(error, "strerror", None) or error,
        )
        return None
    return found


def main(words: list[str]) -> int:
    """Serve until a signal ends it; 1 when the address cannot be had, 2 on wrong usage."""
    started = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)

    from standin.arguments import parse

    arguments = parse(words)
    log.info("sdkiln sandbox: this is a STAND-IN for the web UI, over diffusers")
    if arguments.ignored:
        log.info("Flags without meaning here are ignored: %s", " ".join(arguments.ignored))
    bound = listen(arguments.server_name, arguments.port)
    if bound is None:
        return 1

    # After the port is ours: these take a second or more.
    import uvicorn

    from standin.api import Api
    from standin.server import Server

    server = Server(arguments)
    server.start()
    config = uvicorn.Config(
        Api(server).app(), timeout_keep_alive=arguments.timeout_keep_alive, lifespan="off"
    )

    # In a thread of its own uvicorn leaves the signals to `stop`: it would first wait for a running
    # job, which can take minutes.
    serving = threading.Thread(
        target=uvicorn.Server(config).run, kwargs={"sockets": [bound]}, daemon=True
    )
    serving.start()
    log.info("Startup time: %.1fs", time.monotonic() - started)
    serving.join()
    log.error("The HTTP server ended by itself")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
