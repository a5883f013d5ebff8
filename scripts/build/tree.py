"""What is in an image: a tree of its layers with the largest packages and files of each."""

import json
import posixpath
import re
import subprocess
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BufferedReader
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.text import Text
from rich.tree import Tree

from scripts.build.difference import decompressed
from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from scripts.workspace.errors import Failure

# How many packages of a layer are shown, and how many files of each.
PACKAGES, FILES = 5, 2
SITE = "/site-packages/"
# Where the packages of a layer list their files: Python's (PEP 376) and Debian's.
RECORD = re.compile(r"(?P<folder>.*/)(?P<name>[^/-]+)-(?P<version>[^/-]+)\.dist-info/RECORD")
DPKG_LIST = re.compile(r"var/lib/dpkg/info/(?P<name>[^/:]+)(:\w+)?\.list")
# Only the source of a compiled module is listed.
COMPILED = re.compile(r"__pycache__/([^/]+)\.cpython-\d+\.pyc$")


@dataclass
class Content:
    """The files of a layer: bytes by path, and the package of each path that one lists."""

    sizes: dict[str, int] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def packages(self) -> dict[str, Counter[str]]:
        """Return the bytes of each file by package; what none lists goes by its folder.

        That is the first folder below site-packages, or the first two of the path elsewhere.
        """
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for path, size in self.sizes.items():
            found[self._owner(path)][path] = size
        return found

    def _owner(self, path: str) -> str:
        listed = self.owners.get(path) or self.owners.get(COMPILED.sub(r"\1.py", path))
        if listed:
            return listed
        _, is_package, below = path.partition(SITE)
        if is_package:
            return below.split("/")[0]
        return "/" + "/".join(path.split("/")[:-1][:2])


def read(saved: IO[bytes], advance: Callable[[int], object]) -> list[Content]:
    """Return the layers of an image that `docker save` writes, from the bottom up.

    It is read once, as a stream: nothing is put on disk. `advance` is told the bytes of each part.
    """
    found: dict[str, Content] = {}
    order: list[str] = []
    with tarfile.open(fileobj=saved, mode="r|") as parts:
        for part in parts:
            blob = parts.extractfile(part)
            if not isinstance(blob, BufferedReader):
                continue
            if part.name == "manifest.json":
                order = json.load(blob)[0]["Layers"]
            elif part.name.startswith("blobs/") and blob.peek(1)[:1] != b"{":
                with tarfile.open(fileobj=decompressed(blob), mode="r|") as layer:
                    found[part.name] = content(layer)
            advance(part.size)
    return [found[name] for name in order]


def content(layer: tarfile.TarFile) -> Content:
    """Return what a layer consists of."""
    made = Content()
    for member in layer:
        path = member.name.removeprefix("./")
        if not member.isreg():
            continue
        made.sizes[path] = member.size
        listing = RECORD.fullmatch(path) or DPKG_LIST.fullmatch(path)
        if listing and (file := layer.extractfile(member)):
            made.owners |= _listed(listing, file.read().decode(errors="replace").splitlines())
    return made


def _listed(listing: re.Match[str], lines: Iterable[str]) -> dict[str, str]:
    """Return the files that a package lists, with the package."""
    parts = listing.groupdict()
    if "folder" in parts:
        package = f"{parts['name']} {parts['version']}"
        files = (line.rsplit(",", 2)[0].strip('"') for line in lines)
        return {posixpath.normpath(parts["folder"] + file): package for file in files}
    # Debian's /lib is a link to /usr/lib, but packages still list the former.
    places = ((line[1:], f"usr{line}") for line in lines)
    return {path: parts["name"] for place in places for path in place}


def tree(record: BuildRecord, engine: Engine, console: Console) -> Tree:
    """Return the tree of an image, after reading all of it; a terminal shows how far that is.

    Sizes are those of files, before compression. Raises Failure when the engine has no such image.
    """
    pulled = sum(layer.size or 0 for layer in record.layers)
    with Progress(
        TextColumn("Reading the image"),
        BarColumn(),
        DownloadColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=pulled or None)
        contents = _of_image(engine, record.image, lambda size: bar.advance(task, size))
    names = [layer.name for layer in record.layers]
    if len(names) != len(contents):
        names = [f"layer {number}" for number in range(1, len(contents) + 1)]
    made = Tree(Text(f"{record.image}  {record.digest[:19]}  files in MB, not compressed"))
    for name, each in zip(names, contents, strict=True):
        _grow(made.add(_label(name, sum(each.sizes.values()))), each)
    return made


def _grow(branch: Tree, layer: Content) -> None:
    """Add the largest packages of a layer, each with its largest files."""
    packages = layer.packages()
    weights = Counter({name: sum(files.values()) for name, files in packages.items()})
    for name, weight in weights.most_common(PACKAGES):
        below = branch.add(_label(name, weight))
        for path, size in packages[name].most_common(FILES):
            below.add(_label(path.rpartition(SITE)[2], size))
    if rest := weights.most_common()[PACKAGES:]:
        branch.add(_label(f"{len(rest)} more", sum(weight for _, weight in rest)))


def _label(name: str, size: int) -> Text:
    return Text(f"{size / 1e6:>9,.1f}  ", style="cyan") + Text(name)


def _of_image(engine: Engine, image: str, advance: Callable[[int], object]) -> list[Content]:
    with subprocess.Popen(
        [str(engine.program), "save", image],
        env=engine.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            return read(process.stdout, advance)
        except tarfile.ReadError:
            said = process.stderr.read().decode(errors="replace").strip()
            raise Failure(
                f"the engine does not give {image}: {said}", hint="Build it: ./nox -s build"
            ) from None
        finally:
            process.kill()
