"""What is in a layer: its files by the package that lists them, read from a saved image."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping

import pytest
import zstandard

from scripts.build.tree import Content, content, read

SITE = "opt/webui/lib/python3.11/site-packages"


def tar(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def layer(files: Mapping[str, bytes]) -> Content:
    with tarfile.open(fileobj=io.BytesIO(tar(files))) as archive:
        return content(archive)


def test_a_file_belongs_to_the_package_whose_record_lists_it() -> None:
    packages = layer(
        {
            f"{SITE}/torch/lib.so": b"x" * 10,
            f"{SITE}/torchgen/model.py": b"x" * 5,
            f"{SITE}/torch-2.1.2+cu121.dist-info/RECORD": (
                b"torch/lib.so,sha256=1,10\ntorchgen/model.py,,\n../../../bin/torchrun,,\n"
                b"torch-2.1.2+cu121.dist-info/RECORD,,\n"
            ),
            "opt/webui/bin/torchrun": b"x",
        }
    ).packages()
    assert set(packages) == {"torch 2.1.2+cu121"}
    assert packages["torch 2.1.2+cu121"][f"{SITE}/torch/lib.so"] == 10


def test_bytecode_belongs_to_the_package_of_its_source() -> None:
    packages = layer(
        {
            f"{SITE}/six.py": b"x",
            f"{SITE}/__pycache__/six.cpython-311.pyc": b"xx",
            f"{SITE}/six-1.0.dist-info/RECORD": b"six.py,,\nsix-1.0.dist-info/RECORD,,\n",
        }
    ).packages()
    assert set(packages) == {"six 1.0"}


def test_a_name_with_a_comma_is_read_from_its_quotes() -> None:
    made = layer({f"{SITE}/a-1.dist-info/RECORD": b'"a/x,y.txt",sha256=1,3\n'})
    assert made.owners == {f"{SITE}/a/x,y.txt": "a 1"}


def test_debian_files_belong_to_their_package_also_where_lib_is_a_link() -> None:
    packages = layer(
        {
            "var/lib/dpkg/info/libc6:amd64.list": b"/.\n/lib/x86_64-linux-gnu/libc.so.6\n",
            "usr/lib/x86_64-linux-gnu/libc.so.6": b"xx",
        }
    ).packages()
    assert packages["libc6"] == {"usr/lib/x86_64-linux-gnu/libc.so.6": 2}


def test_what_no_package_lists_goes_by_its_folder() -> None:
    packages = layer(
        {f"{SITE}/stray/data/x": b"x", "models/sd/v1.safetensors": b"xx", "mark": b""}
    ).packages()
    assert set(packages) == {"stray", "/models/sd", "/"}


@pytest.mark.parametrize("pack", [zstandard.compress, gzip.compress, bytes])
def test_layers_are_read_in_the_order_of_the_manifest_however_they_are_packed(
    pack: Callable[[bytes], bytes],
) -> None:
    saved = tar(
        {
            "blobs/sha256/a": pack(tar({"upper": b"x"})),
            "blobs/sha256/b": pack(tar({"lower": b"xx"})),
            "blobs/sha256/c": b'{"architecture": "amd64"}',
            "manifest.json": json.dumps(
                [{"Layers": ["blobs/sha256/b", "blobs/sha256/a", "blobs/sha256/b"]}]
            ).encode(),
        }
    )
    told: list[int] = []
    layers = read(io.BytesIO(saved), told.append)
    assert [each.sizes for each in layers] == [{"lower": 2}, {"upper": 1}, {"lower": 2}]
    assert sum(told) < len(saved)
    assert len(told) == 4
