"""`./nox -s serve`: the worker in a container, until Ctrl-C."""

import argparse
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container

from scripts.build import engine
from scripts.build.image import built, gpus, labels, sweep, unused_gpu
from scripts.workspace.cli import run, say
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import load

PORT = 8000
CURL = """curl -sS -X POST http://127.0.0.1:{port}/runsync -H 'Content-Type: application/json' \\
  -d '{{"input": {{"prompt": "a red fox", "steps": 4, "width": 256, "height": 256}}}}'"""


@contextmanager
def container(image: str, port: int) -> Iterator[Container]:
    """Run the worker with its API on `port` of localhost; the container goes on every way out.

    Raises BadInput where the image is gone or the port is taken, Failure where the engine refuses.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise BadInput(
                f"port {port} cannot be used: {getattr(error, 'strerror', None) or error}.",
                hint="Choose another: ./nox -s serve -- --port N",
            ) from None
    client = engine.ensure().client()
    sweep(client)
    if (unused := unused_gpu(client)) is not None:
        say(f"serve: {unused}")
    try:
        made = client.containers.create(
            image,
            ["--rp_serve_api", "--rp_api_host", "0.0.0.0", "--rp_api_port", str(PORT)],
            ports={f"{PORT}/tcp": ("127.0.0.1", port)},
            read_only=True,
            tmpfs={"/tmp": "rw,exec,mode=1777"},
            device_requests=gpus(client),
            labels=labels("serve"),
        )
    except ImageNotFound:
        raise BadInput(f"the engine has no image {image}.", hint="Run ./nox -s build") from None
    except APIError as error:
        raise Failure(f"the engine refused to make a container: {error.explanation}.") from None
    try:
        made.start()
        yield made
    finally:
        try:
            made.remove(force=True)
        except NotFound:
            say("serve: the container was removed by someone else.")


def show_log(running: Container) -> None:
    """Copy the container's output to stderr until it ends."""
    for chunk in running.logs(stream=True, follow=True):
        sys.stderr.buffer.write(chunk)
        sys.stderr.flush()


def wait_until_served(running: Container, port: int, timeout_s: float) -> None:
    """Return when the worker's API answers; raises Failure when the container ends before."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code < 500:
                return
        except httpx.TransportError:
            time.sleep(0.5)
        running.reload()
        if running.status == "exited":
            code = running.attrs["State"]["ExitCode"]
            raise Failure(f"the worker ended with code {code}; its output stands above.")
    raise Failure(f"the worker's API does not answer after {timeout_s:.0f} s.")


def main(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C, which is the proper end (0), or until the worker ends by itself (1)."""
    workspace = load()
    workspace.profile(args.profile)
    record = built(args.profile)
    with container(record.image, args.port) as running:
        threading.Thread(target=show_log, args=[running], daemon=True).start()
        try:
            wait_until_served(running, args.port, workspace.launch.ready_timeout_s + 30)
            print(f"\nThe worker answers at http://127.0.0.1:{args.port} (Ctrl-C stops it). Try:\n")
            print(CURL.format(port=args.port), "\n", flush=True)
            code = running.wait(timeout=None)["StatusCode"]
        except KeyboardInterrupt:
            print("Stopped.")
            return 0
    raise Failure(f"the worker ended with code {code}.")


if __name__ == "__main__":
    sys.exit(run("serve", main))
