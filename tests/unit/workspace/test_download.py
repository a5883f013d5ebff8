"""Downloads are kept only with the pinned hash: tried against a real HTTP server."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.workspace import download
from scripts.workspace.errors import CheckFailed, Failure

CONTENT = b"the right bytes" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers each path in its own way, and counts the requests."""

    requests = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.requests += 1
        if self.path == "/missing":
            self.send_error(404)
        elif self.path == "/busy" and self.server.requests < 3:
            self.send_error(503)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            body = b"x" * len(CONTENT) if self.path == "/other" else CONTENT
            self.wfile.write(body[: 100 if self.path == "/cut" else None])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with Server(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{path}"


def test_a_file_with_the_pinned_hash_is_kept(server: Server, tmp_path: Path) -> None:
    download.fetch([url(server, "good")], tmp_path / "file", DIGEST, len(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_file_that_is_there_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    download.fetch([url(server, "good")], tmp_path / "file", DIGEST, len(CONTENT))
    assert server.requests == 0


def test_other_bytes_are_deleted_and_both_hashes_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=f"{DIGEST} is pinned; it was deleted"):
        download.fetch([url(server, "other")], tmp_path / "file", DIGEST, len(CONTENT))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_damaged_on_disk_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"damaged")
    download.fetch([url(server, "good")], tmp_path / "file", DIGEST, len(CONTENT))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    download.fetch([url(server, "busy")], tmp_path / "file", DIGEST, len(CONTENT))
    assert server.requests == 3


def test_a_cut_connection_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="could not be downloaded"):
        download.fetch([url(server, "cut")], tmp_path / "file", DIGEST, len(CONTENT))
    assert server.requests == download.ATTEMPTS
    assert list(tmp_path.iterdir()) == []


def test_the_next_origin_is_tried(server: Server, tmp_path: Path) -> None:
    urls = [url(server, "missing"), url(server, "good")]
    download.fetch(urls, tmp_path / "file", DIGEST, len(CONTENT))
    assert server.requests == 2


def test_without_network_the_failure_names_every_origin(tmp_path: Path) -> None:
    urls = ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _: None)
        with pytest.raises(Failure, match=r"(?s)127.0.0.1:9/a.*127.0.0.1:9/b"):
            download.fetch(urls, tmp_path / "file", DIGEST, len(CONTENT))
