"""Files from the network that are kept only when their hash is the pinned one."""

import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.workspace.errors import CheckFailed, Failure
from scripts.workspace.files import require_space, sha256

if TYPE_CHECKING:
    # It is imported when something is fetched: that takes a tenth of a second, and most commands
    # find all their files here.
    import httpx

ATTEMPTS = 4
Login = tuple[str, str]
"""A user and a password."""


def fetch(
    urls: Sequence[str], path: Path, digest: str, size: int, login: Login | None = None
) -> None:
    """Bring the file with this SHA-256 and size in bytes to `path`, from the first URL that has it.

    `login` is sent to their servers, and no further where these redirect elsewhere. A file that is
    there already and has the hash is kept. Raises Failure when no URL answers and CheckFailed when
    one gives other bytes, which are deleted.
    """
    if path.exists() and sha256(path) == digest:
        return
    import httpx

    path.parent.mkdir(parents=True, exist_ok=True)
    require_space(path.parent, size, f"downloading {path.name}")
    failures = []
    for url in urls:
        for attempt in range(ATTEMPTS):
            try:
                return _fetch_once(url, path, digest, login)
            except httpx.HTTPStatusError as error:
                failures.append(f"{url}: {error.response.status_code}")
                if error.response.status_code < 500:
                    break
            except httpx.HTTPError as error:
                failures.append(f"{url}: {error or type(error).__name__}")
            if attempt + 1 < ATTEMPTS:
                time.sleep(0.5 * 2**attempt)
    raise Failure(
        f"{path.name} could not be downloaded:\n  " + "\n  ".join(dict.fromkeys(failures)),
        hint="Check the network and try again; what was downloaded before is kept.",
    )


@cache
def _client() -> "httpx.Client":
    import httpx

    # One client for all, because most of the time of a small file is the connection.
    return httpx.Client(timeout=30, follow_redirects=True)


def _fetch_once(url: str, path: Path, digest: str, login: Login | None) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        seen = hashlib.sha256()
        answer = _client().stream("GET", url, auth=login)
        with os.fdopen(handle, "wb") as file, answer as response:
            response.raise_for_status()
            for block in response.iter_bytes():
                seen.update(block)
                file.write(block)
        if seen.hexdigest() != digest:
            raise CheckFailed(
                f"{url} has SHA-256 {seen.hexdigest()}, but {digest} is pinned; it was deleted.",
                hint="Try again. If it stays so, the file was replaced: do not build with it.",
            )
        Path(name).chmod(0o644)
        Path(name).rename(path)
    finally:
        Path(name).unlink(missing_ok=True)
