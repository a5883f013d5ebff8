"""A real container registry on this machine: Debian's docker-registry, unpacked, not installed."""

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from scripts.build.registry import INDEX, MANIFEST, Blob
from scripts.lock import apt
from scripts.workspace.files import exclusive
from scripts.workspace.paths import CACHE
from tests.support.oci import Image

# docker-registry of Debian 13 wants a newer glibc.
SUITE = "bookworm"
FOLDER = CACHE / "docker-registry"
CONFIGURATION = """\
version: 0.1
log: {{level: info}}
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:0
"""
AUTH = """\
auth:
  htpasswd: {{realm: test, path: {folder}/htpasswd}}
"""
LOGIN = ("user", "pass")
# LOGIN as `htpasswd -B` writes it: the registry reads no other hash than bcrypt.
HTPASSWD = "user:$2y$05$abcdefghijklmnopqrstuuZFBUbfXoM8LFiPx8LYlO/sXZB/Cwk3K"


@dataclass(frozen=True)
class Registry:
    """A registry that runs, at `host`: host and port; it speaks HTTP."""

    host: str
    login: tuple[str, str] | None = None

    def push_blob(self, repository: str, blob: Blob) -> None:
        """Put a blob into a repository."""
        started = self._request("POST", f"{repository}/blobs/uploads/")
        url = httpx2.URL(started.headers["location"]).copy_add_param("digest", blob.digest)
        self._client().put(url, content=blob.content).raise_for_status()

    def push_manifest(self, repository: str, reference: str, manifest: Blob) -> None:
        """Put a manifest or an index under a tag or its digest."""
        self._request(
            "PUT",
            f"{repository}/manifests/{reference}",
            content=manifest.content,
            headers={"Content-Type": manifest.media_type},
        )

    def push(self, repository: str, images: Sequence[Image]) -> None:
        """Put images into a repository, without a tag."""
        for image in images:
            self.push_blob(repository, image.config)
            self.push_manifest(repository, image.manifest.digest, image.manifest)

    def delete(self, repository: str, tag: str) -> None:
        """Delete what a tag stands for, and the tag with it."""
        accept = {"Accept": f"{INDEX}, {MANIFEST}"}
        found = self._request("HEAD", f"{repository}/manifests/{tag}", headers=accept)
        digest = found.headers["docker-content-digest"]
        self._request("DELETE", f"{repository}/manifests/{digest}")

    def _request(self, method: str, path: str, **more: object) -> httpx2.Response:
        done = self._client().request(method, f"http://{self.host}/v2/{path}", **more)  # type: ignore[arg-type]
        return done.raise_for_status()

    def _client(self) -> httpx2.Client:
        return httpx2.Client(auth=self.login, trust_env=False)


def _program() -> Path:
    """Return docker-registry, bringing it the first time."""
    program = FOLDER / "usr/bin/docker-registry"
    with exclusive(FOLDER.with_suffix(".lock"), "unpacking docker-registry"):
        if not program.exists():
            apt.apt(SUITE).unpack(["docker-registry"], FOLDER)
    return program


@contextmanager
def running(folder: Path, with_login: bool = False) -> Iterator[Registry]:
    """Run an empty registry that keeps its data in `folder`, with LOGIN if asked."""
    (folder / "htpasswd").write_text(f"{HTPASSWD}\n")
    settings = CONFIGURATION + (AUTH if with_login else "")
    (folder / "config.yml").write_text(settings.format(folder=folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [_program(), "serve", folder / "config.yml"], stdout=log, stderr=log
        )
    try:
        yield Registry(_address(process, folder / "log"), LOGIN if with_login else None)
    finally:
        process.terminate()
        process.wait(30)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return where a registry listens as soon as its log says so."""
    while process.poll() is None:
        if found := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text()):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"docker-registry did not start:\n{log.read_text()}")
