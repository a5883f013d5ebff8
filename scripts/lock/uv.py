"""uv as a resolver: several at once, none left behind, and no index page fetched twice."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType

from uv import find_uv_bin

from scripts.workspace.paths import ROOT

# What PyPI itself allows a client.
PAGE_MAX_AGE_S = 600


class Refused(Exception):
    """uv ended with an error; the text is what it said."""


def cutoff(as_of: date) -> datetime:
    """Return the instant at which the day `as_of` ends in UTC; a bare date would be local time."""
    return datetime.combine(as_of, datetime.min.time(), timezone.utc) + timedelta(days=1)


class Uv:
    """Runs `uv` from the root of the workspace, at most `jobs` at a time.

    As a context manager it kills what still runs when the block is left, however that happens.
    """

    def __init__(self, folder: Path, newest: datetime, jobs: int) -> None:
        """Prepare to resolve what was uploaded before `newest`; `folder` holds uv's settings."""
        self._options = _reuse(folder, newest)
        self._places = threading.Semaphore(jobs)
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def __enter__(self) -> "Uv":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what still runs."""
        self._stopped = True
        for process in list(self._running):
            process.kill()

    def __call__(self, arguments: Sequence[str]) -> tuple[str, str]:
        """Return what uv printed: its result, and what it said beside it. Raises Refused."""
        with self._places:
            if self._stopped:
                raise Refused("stopped, because another target failed")
            process = subprocess.Popen(
                [find_uv_bin(), *arguments, *self._options],
                cwd=ROOT,
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self._running.add(process)
            try:
                output, said = process.communicate()
            finally:
                self._running.discard(process)
        if process.returncode:
            raise Refused(said.strip())
        return output, said


def _environment() -> dict[str, str]:
    # The default index stands in the settings that _reuse writes; these would go before it.
    taken = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
    return {name: value for name, value in os.environ.items() if name not in taken}


def _reuse(folder: Path, newest: datetime) -> list[str]:
    """Let uv reuse index pages for some minutes, also of a registry that says nothing of caching.

    The targets ask for much the same pages, and reading a page costs more than resolving. A page
    may only be reused when it was fetched after the cutoff.
    """
    done = subprocess.run(
        [find_uv_bin(), "pip", "compile", "-", "--quiet", "--no-header", "--emit-index-url"],
        input="",
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    index = re.search(r"^--index-url (\S+)$", done.stdout, re.MULTILINE)
    if index is None or "*" in index[1]:  # uv hides a password that way
        return []
    age = int(max(0.0, min(PAGE_MAX_AGE_S, time.time() - newest.timestamp())))
    (folder / "uv.toml").write_text(
        f'[[index]]\nurl = "{index[1]}"\ndefault = true\n'
        f'cache-control = {{ api = "max-age={age}", files = "max-age=31536000, immutable" }}\n'
    )
    return [f"--project={folder}"]
