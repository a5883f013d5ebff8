"""compatibility.toml against the wheels themselves, of which only the few kilobytes are fetched."""

import io
import json
import re
import subprocess
import sys
import zipfile
from functools import cache

import httpx
import pytest
import tomli
from uv import find_uv_bin

from scripts.lock import facts
from scripts.lock.facts import Binary, Version, binary, version
from scripts.workspace.model import load

FACTS = facts.load()


class RemoteFile(io.RawIOBase):
    """A file on a server that answers range requests, read where it is sought."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(timeout=60, follow_redirects=True)
        head = self._client.head(url).raise_for_status()
        self._url = url
        self._size = int(head.headers["content-length"])
        self._position = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._position + size)
        if end <= self._position:
            return b""
        wanted = {"Range": f"bytes={self._position}-{end - 1}"}
        answer = self._client.get(self._url, headers=wanted).raise_for_status()
        assert answer.status_code == httpx.codes.PARTIAL_CONTENT
        self._position = end
        return answer.content

    def close(self) -> None:
        self._client.close()
        super().close()


@cache
def url(package: str, number: str) -> str:
    """The address that the registry gives for a wheel, by uv's own settings."""
    lock = subprocess.run(
        [
            find_uv_bin(),
            *("pip", "compile", "--quiet", "--no-deps", "--no-header", "--format=pylock.toml"),
            *("--python-version=3.10", f"--python-platform={load().lock.platform}"),
            *(f"--python={sys.executable}", "--no-python-downloads", "-"),
        ],
        input=f"{package}=={number}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = tomli.loads(lock.stdout)["packages"]
    (wheel,) = found["wheels"]
    assert isinstance(wheel["url"], str)
    return wheel["url"]


def members(package: str, number: str, *names: str) -> list[str]:
    """The texts of these files of a wheel."""
    with RemoteFile(url(package, number)) as remote, zipfile.ZipFile(remote) as wheel:
        return [wheel.read(name).decode() for name in names]


@pytest.mark.parametrize("number", sorted(FACTS.torch))
def test_the_torch_wheel_was_built_for_what_the_facts_say(number: str) -> None:
    about, build = members(
        "torch", number, "torch/version.py", "torch/include/ATen/cuda/CUDAConfig.h"
    )
    cuda = re.search(r"^cuda\b.*= '([0-9.]+)'$", about, re.MULTILINE)
    assert cuda is not None
    codes = re.findall(r"code=(sm|compute)_(\d+)(\d)(a?)\b", build)
    assert codes
    found = [
        (kind, Binary(Version(int(major), int(minor)), alone == "a"))
        for kind, major, minor, alone in codes
    ]
    row = FACTS.torch[number]
    assert row.cuda == version(cuda[1])
    assert row.binary == tuple(code for kind, code in found if kind == "sm")
    assert row.ptx == tuple(code.capability for kind, code in found if kind == "compute")


@pytest.mark.parametrize("number", sorted(FACTS.xformers))
def test_the_xformers_wheel_was_built_for_what_the_facts_say(number: str) -> None:
    (text,) = members("xformers", number, "xformers/cpp_lib.json")
    build = json.loads(text)
    cuda = build["version"]["cuda"]
    codes = build["env"]["TORCH_CUDA_ARCH_LIST"].split()
    row = FACTS.xformers[number]
    assert row.cuda == Version(cuda // 100, cuda % 100)
    assert row.binary == tuple(binary(code.removesuffix("+PTX")) for code in codes)
    assert row.ptx == tuple(
        version(code.removesuffix("+PTX")) for code in codes if code.endswith("+PTX")
    )
