"""Two builds that differ are told apart by layer, file and what about it."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from scripts.build.difference import Entry, compare, differences

FILE = Entry("0", 0o644, (0, 0), 0.0, "a" * 64)
entries = st.builds(
    Entry,
    kind=st.sampled_from("05"),
    mode=st.sampled_from([0o644, 0o755]),
    owner=st.sampled_from([(0, 0), (10001, 10001)]),
    mtime=st.sampled_from([0.0, 1.0]),
    content=st.sampled_from(["a" * 64, "b" * 64]),
)
layers = st.dictionaries(st.sampled_from(["app", "app/one", "app/two"]), entries)


@given(one=layers, other=layers)
def test_layers_differ_exactly_when_something_is_said(
    one: dict[str, Entry], other: dict[str, Entry]
) -> None:
    same = list(one.items()) == list(other.items())
    assert (list(differences(one, other)) == []) == same


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (replace(FILE, mode=0o600), "a differs in mode (644 and 600)"),
        (replace(FILE, owner=(1, 2)), "a differs in owner ((0, 0) and (1, 2))"),
        (replace(FILE, mtime=5.0), "a differs in mtime (0.0 and 5.0)"),
        (replace(FILE, content="b" * 64), f"a differs in content ({'a' * 12} and {'b' * 12})"),
    ],
)
def test_a_file_is_named_with_what_differs(changed: Entry, said: str) -> None:
    assert list(differences({"a": FILE}, {"a": changed})) == [said]


def test_another_order_of_the_same_files_is_named() -> None:
    one, other = {"a": FILE, "b": FILE}, {"b": FILE, "a": FILE}
    assert list(differences(one, other)) == ["the same files in another order, from a on"]


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


def image(
    path: Path,
    *files: Mapping[str, str],
    entrypoint: str = "x",
    compress: Callable[[bytes], bytes] = zstd,
) -> Path:
    """Write an OCI layout as Docker exports one, with a layer of each group of files."""
    blobs = {}

    def blob(content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return f"sha256:{digest}"

    layers = [blob(compress(tar(group))) for group in files]
    config = blob(json.dumps({"config": {"Entrypoint": entrypoint}}).encode())
    manifest = {"config": {"digest": config}, "layers": [{"digest": each} for each in layers]}
    inner = {"manifests": [{"digest": blob(json.dumps(manifest).encode())}]}
    outer = {"manifests": [{"digest": blob(json.dumps(inner).encode())}]}
    path.write_bytes(tar({**blobs, "index.json": json.dumps(outer)}))
    return path


def tar(files: Mapping[str, str | bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, text in files.items():
            content = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def test_the_same_image_has_no_difference(tmp_path: Path) -> None:
    one = image(tmp_path / "one", {"a": "1"}, {"b": "2"})
    other = image(tmp_path / "other", {"a": "1"}, {"b": "2"})
    assert list(compare(["base", "app"], one, other)) == []


def test_a_difference_is_told_with_its_layer(tmp_path: Path) -> None:
    one = image(tmp_path / "one", {"a": "1"}, {"b": "2"})
    other = image(tmp_path / "other", {"a": "1"}, {"b": "3", "c": "4"})
    assert list(compare(["base", "app"], one, other)) == [
        "app: c is only in the second",
        "app: b differs in content (d4735e3a265e and 4e07408562be)",
    ]


@pytest.mark.parametrize("compress", [zstd, gzip.compress, bytes], ids=["zstd", "gzip", "tar"])
def test_layers_are_read_however_they_are_compressed(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    one = image(tmp_path / "one", {"a": "1"}, compress=compress)
    other = image(tmp_path / "other", {}, compress=compress)
    assert list(compare(["app"], one, other)) == ["app: a is only in the first"]


def test_a_difference_of_the_configuration_is_told(tmp_path: Path) -> None:
    one = image(tmp_path / "one", {"a": "1"})
    other = image(tmp_path / "other", {"a": "1"}, entrypoint="y")
    assert list(compare(["app"], one, other)) == ["configuration: config differs"]


def test_a_layer_more_is_told(tmp_path: Path) -> None:
    one = image(tmp_path / "one", {"a": "1"})
    other = image(tmp_path / "other", {"a": "1"}, {"b": "2"})
    assert list(compare(["app"], one, other)) == ["the first has 1 layers, the second 2"]
