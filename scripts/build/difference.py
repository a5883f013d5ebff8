"""What tells two builds of an image apart: which layer, which file, and what about it."""

import gzip
import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import docker
import zstandard

# The first bytes of a zstd frame and of a gzip member: RFC 8878, 3.1.1 and RFC 1952, 2.3.1.
ZSTD, GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"


@dataclass(frozen=True)
class Entry:
    """A file, folder or link of a layer.

    `mtime` is in seconds, `content` a SHA-256 or where a link leads.
    """

    kind: str
    mode: int
    owner: tuple[int, int]
    mtime: float
    content: str


def export(client: docker.DockerClient, image: str, path: Path) -> None:
    """Write an image to `path` as a tar of OCI blobs, layers as they are stored."""
    with path.open("wb") as file:
        for chunk in client.images.get(image).save(named=True):
            file.write(chunk)


def compare(names: Sequence[str], one: Path, other: Path) -> Iterator[str]:
    """Yield a sentence for each difference between two exported images.

    `names` are those of the layers, from the bottom up. Files are compared only in layers whose
    digests differ.
    """
    with tarfile.open(one) as first, tarfile.open(other) as second:
        here, there = _manifest(first), _manifest(second)
        yield from _config(
            _json(first, here["config"]["digest"]), _json(second, there["config"]["digest"])
        )
        left = [layer["digest"] for layer in here["layers"]]
        right = [layer["digest"] for layer in there["layers"]]
        if len(left) != len(right):
            yield f"the first has {len(left)} layers, the second {len(right)}"
            return
        for number, (was, now) in enumerate(zip(left, right, strict=True)):
            if was == now:
                continue
            name = names[number] if len(names) == len(left) else f"layer {number + 1}"
            found = list(differences(_entries(first, was), _entries(second, now)))
            for line in found or ["the same files, packed in another way"]:
                yield f"{name}: {line}"


def differences(one: Mapping[str, Entry], other: Mapping[str, Entry]) -> Iterator[str]:
    """Yield what differs between the files of two layers, given in the order of the archive."""
    for path in sorted(one.keys() - other.keys()):
        yield f"{path} is only in the first"
    for path in sorted(other.keys() - one.keys()):
        yield f"{path} is only in the second"
    for path in sorted(one.keys() & other.keys()):
        left, right = one[path], other[path]
        if what := [word for word in vars(left) if getattr(left, word) != getattr(right, word)]:
            yield f"{path} differs in " + ", ".join(
                f"{word} ({_shown(word, left)} and {_shown(word, right)})" for word in what
            )
    if one.keys() == other.keys() and list(one) != list(other):
        first = next(path for path, at in zip(one, other, strict=True) if path != at)
        yield f"the same files in another order, from {first} on"


def _shown(word: str, entry: Entry) -> str:
    value = getattr(entry, word)
    if word == "mode":
        return f"{value:o}"
    return str(value)[:12] if word == "content" else str(value)


def _config(one: Any, other: Any) -> Iterator[str]:
    for key in sorted(one.keys() | other.keys()):
        # What the layers are is told from the layers themselves.
        if key != "rootfs" and one.get(key) != other.get(key):
            yield f"configuration: {key} differs"


def _manifest(tar: tarfile.TarFile) -> Any:
    """Return the image's manifest, below as many indices as there are."""
    document = json.load(_open(tar, "index.json"))
    while "manifests" in document:
        document = _json(tar, document["manifests"][0]["digest"])
    return document


def _json(tar: tarfile.TarFile, digest: str) -> Any:
    return json.load(_blob(tar, digest))


def _blob(tar: tarfile.TarFile, digest: str) -> BufferedReader:
    return _open(tar, f"blobs/{digest.replace(':', '/')}")


def _open(tar: tarfile.TarFile, name: str) -> BufferedReader:
    file = tar.extractfile(name)
    assert isinstance(file, BufferedReader)
    return file


def decompressed(blob: BufferedReader) -> IO[bytes] | gzip.GzipFile:
    """Return the tar of a layer as it was before compression: zstd, gzip or none."""
    magic = blob.peek(4)[:4]
    if magic == ZSTD:
        return zstandard.ZstdDecompressor().stream_reader(blob)
    return gzip.GzipFile(fileobj=blob) if magic.startswith(GZIP) else blob


def _entries(tar: tarfile.TarFile, digest: str) -> dict[str, Entry]:
    """Return the entries of a layer by path, in the order of the archive."""
    with tarfile.open(fileobj=decompressed(_blob(tar, digest)), mode="r|") as layer:
        return dict(_read(layer))


def _read(layer: Iterable[tarfile.TarInfo]) -> Iterator[tuple[str, Entry]]:
    assert isinstance(layer, tarfile.TarFile)
    for member in layer:
        content = member.linkname
        if member.isreg() and (file := layer.extractfile(member)):
            seen = hashlib.sha256()
            while block := file.read(1 << 20):
                seen.update(block)
            content = seen.hexdigest()
        yield (
            member.name,
            Entry(
                member.type.decode(), member.mode, (member.uid, member.gid), member.mtime, content
            ),
        )
