"""Files that are whole or absent: atomic writes, digests, and a lock between processes."""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.workspace.errors import Failure
from scripts.workspace.paths import shown

# 1980-01-01, the earliest time that a zip file can hold; docker/tools/install/seal sets it in the
# image.
EPOCH = 315532800


def set_content_time(path: Path, digest: str) -> None:
    """Give a file a time that follows from its SHA-256, in hexadecimal.

    Files in a build context need the same time on every machine, and another one for another
    content: BuildKit takes a file of the same size and time for unchanged.
    """
    seconds = EPOCH + int(digest[:6], 16)
    os.utime(path, (seconds, seconds))


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` so that a reader sees the old content or the new, never a part."""
    write_all({path: data})


def write_all(files: Mapping[Path, bytes | str]) -> None:
    """Write several files as `write_atomic` does, and touch none before all are on disk.

    Then they are put in place in this order, up to the first that cannot be.
    """
    ready: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            ready[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes the file private; what is committed or shared is readable by all.
            ready[path].chmod(0o644)
        for path, temporary in ready.items():
            temporary.rename(path)
    finally:
        for temporary in ready.values():
            temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise Failure when the disk below `folder` has less than `needed` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Failure(
            f"{purpose} needs {needed / 1e9:.1f} GB of disk, but {shown(folder)} has "
            f"{free / 1e9:.1f} GB free.",
            hint="Free some space, or put the workspace on another disk: SDKILN_WORKSPACE=/path.",
        )


@contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock of a file or folder; when another process does, say so on stderr and wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting: another process is busy with {purpose}.", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
