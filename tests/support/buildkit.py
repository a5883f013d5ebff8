"""A BuildKit daemon behind a TCP port, as a remote builder is: that of a Docker engine.

A Docker engine serves its BuildKit's own interface to who asks its socket for an upgrade to h2c at
/grpc. Behind this relay it is what buildx's driver `remote` speaks to.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
CHUNK = 1 << 16


@contextmanager
def remote_end(docker_host: str) -> Iterator[str]:
    """Serve the BuildKit of the Docker engine at a unix socket; yield its tcp:// address."""
    path = docker_host.removeprefix("unix://")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, path), daemon=True)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, path: str) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, path), daemon=True).start()


def _serve(client: socket.socket, path: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
        engine.connect(path)
        engine.sendall(UPGRADE)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += engine.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        back = threading.Thread(target=_copy, args=(engine, client), daemon=True)
        back.start()
        _copy(client, engine)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
