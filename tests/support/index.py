"""A package index on localhost that speaks PEP 691 as PyPI does, upload times and yanks included.

It is a real HTTP server with real wheels and sdists, made here; it can be told to fail as
registries fail.
"""

import hashlib
import io
import json
import tarfile
import threading
import time
import zipfile
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON = "application/vnd.pypi.simple.v1+json"
HELD_S = 20


@dataclass
class Index:
    """What the index holds, and how it misbehaves.

    `login` is the user and password, as `user:password`, that it asks for if it is given.
    `unavailable` is how many requests it still answers with 503, `dies_after` after how many it
    begins to break every connection, `delay_s` how long each answer takes. One that `breaks_off`
    sends half of each answer. What is in `held` is
    answered once `opened` is set, or after HELD_S, and then stands in `waited_for`.
    """

    url: str
    files: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    login: str = ""
    unavailable: int = 0
    dies_after: int | None = None
    breaks_off: bool = False
    delay_s: float = 0
    held: frozenset[str] = frozenset()
    opened: threading.Event = field(default_factory=threading.Event)
    waited_for: list[str] = field(default_factory=list)

    def wheel(
        self,
        name: str,
        version: str,
        uploaded: str = "2026-01-01",
        requires: Sequence[str] = (),
        tags: str = "py3-none-any",
        yanked: bool | str = False,
        requires_python: str = ">=3.8",
        code: str = "",
    ) -> None:
        """Upload a wheel with one module of its name and with this code, on a day at noon UTC."""
        folder = f"{name}-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        metadata += f"Requires-Python: {requires_python}\n"
        metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr(f"{name}.py", f"version = {version!r}\n{code}")
            archive.writestr(f"{folder}/METADATA", metadata)
            archive.writestr(
                f"{folder}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n"
            )
            archive.writestr(f"{folder}/RECORD", "")
        file = f"{name}-{version}-{tags}.whl"
        self._add(name, file, data.getvalue(), uploaded, yanked, requires_python)
        self.contents[f"{file}.metadata"] = metadata.encode()
        self.files[name][-1]["core-metadata"] = {
            "sha256": hashlib.sha256(metadata.encode()).hexdigest()
        }

    def sdist(
        self,
        name: str,
        version: str,
        build: Sequence[str] | None,
        uploaded: str = "2026-01-01",
        static: bool = True,
    ) -> None:
        """Upload an sdist with static metadata; with no `build`, it says nothing of builders.

        One that is not `static` must be built to be read, as those of before PEP 643, and it says
        nothing of builders.
        """
        folder = f"{name}-{version}"
        number = "2.2" if static else "1.1"
        texts = {
            "PKG-INFO": f"Metadata-Version: {number}\nName: {name}\nVersion: {version}\n",
            "setup.py": "from setuptools import setup\nsetup()\n",
        }
        if static:
            texts["pyproject.toml"] = f'[project]\nname = "{name}"\nversion = "{version}"\n'
        if build is not None:
            texts["pyproject.toml"] += f"[build-system]\nrequires = {json.dumps(list(build))}\n"
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            for file, text in texts.items():
                member = tarfile.TarInfo(f"{folder}/{file}")
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        self._add(name, f"{folder}.tar.gz", data.getvalue(), uploaded, False, None)

    def _add(
        self,
        name: str,
        file: str,
        content: bytes,
        uploaded: str,
        yanked: bool | str,
        requires_python: str | None,
    ) -> None:
        self.contents[file] = content
        self.files.setdefault(name, []).append(
            {
                "filename": file,
                "url": f"{self.url}/files/{file}",
                "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
                "size": len(content),
                "upload-time": f"{uploaded}T12:00:00.000000Z",
                "requires-python": requires_python,
                "yanked": yanked,
            }
        )


@contextmanager
def running() -> Iterator[Index]:
    """Serve an empty index until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            index.asked.append(self.path)
            if index.dies_after is not None and len(index.asked) > index.dies_after:
                self.connection.close()
                return
            time.sleep(index.delay_s)
            if self.path.strip("/") in index.held and not index.opened.wait(HELD_S):
                index.waited_for.append(self.path)
            if index.unavailable:
                index.unavailable -= 1
                return self._send(503, b"", "text/plain")
            told = f"Basic {b64encode(index.login.encode()).decode()}"
            if index.login and self.headers.get("Authorization") != told:
                return self._send(401, b"", "text/plain")
            kind, _, name = self.path.strip("/").partition("/")
            if kind == "files" and name in index.contents:
                return self._send(200, index.contents[name], "application/octet-stream")
            if kind == "simple" and name in index.files:
                page = {
                    "meta": {"api-version": "1.1"},
                    "name": name,
                    "files": index.files[name],
                }
                return self._send(200, json.dumps(page).encode(), JSON)
            self._send(404, b"", "text/plain")

        def _send(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if index.breaks_off and body:
                self.close_connection = True
                body = body[: len(body) // 2]
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of a client that hangs up once it was stopped."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    index = Index(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
