"""Servers on this machine: one that answers as a test says, and ones that fail in a chosen way."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Nothing listens on it: a connection is refused at once.
REFUSING = "127.0.0.1:1"


@dataclass(frozen=True)
class Request:
    """What a client asks: the path has the query in it."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What it is answered."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[Request], Reply]
Start = Callable[[], AbstractContextManager[str]]


@contextmanager
def serving(respond: Respond) -> Iterator[str]:
    """Answer HTTP requests with what `respond` says; yield host and port."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            reply = respond(Request(self.command, self.path, self.headers, body))
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def failing_first(times: int, failure: Reply, respond: Respond) -> Respond:
    """Return a responder that gives `failure` so many times, and then what `respond` says."""
    left = iter([failure] * times)
    return lambda request: next(left, None) or respond(request)


@contextmanager
def silent() -> Iterator[str]:
    """Accept connections and never say a word; yield host and port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def black_hole() -> Iterator[str]:
    """Let nobody connect, without refusing: the queue of connections is full; yield host, port."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        for filler in fillers:
            filler.close()


@contextmanager
def dying() -> Iterator[str]:
    """Accept connections and close them without an answer; yield host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close_each() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.recv(1)
                    connection.close()

        thread = threading.Thread(target=close_each, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@dataclass
class Cuts:
    """What happened at `host`: `made` cuts, and `sent` bytes by clients since the last."""

    host: str
    made: int = 0
    sent: int = 0


@contextmanager
def cutting(host: str, after: int, times: int) -> Iterator[Cuts]:
    """Lead connections to `host`, and cut them all whenever clients sent `after` bytes.

    After so many `times`, nothing is cut any more.
    """
    address, _, port = host.rpartition(":")
    open_ones: set[socket.socket] = set()
    lock = threading.Lock()

    def passes(data: bytes) -> bool:
        """Count what a client sent; return whether it may pass."""
        with lock:
            cuts.sent += len(data)
            if cuts.made >= times or cuts.sent < after:
                return True
            cuts.sent = 0
            cuts.made += 1
            for each in open_ones:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            return False

    def up(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while (data := client.recv(1 << 16)) and passes(data):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def down(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection((address, int(port))) as server:
            ends = {client, server}
            with lock:
                open_ones.update(ends)
            back = threading.Thread(target=down, args=(server, client), daemon=True)
            back.start()
            up(client, server)
            back.join()
            with lock:
                open_ones.difference_update(ends)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        cuts = Cuts(f"127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield cuts
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
