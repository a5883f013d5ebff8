"""uv as a resolver that fetches no index page twice."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import tomli_w
from uv import find_uv_bin

from scripts.lock import sdists, settings
from scripts.workspace.download import Login
from scripts.workspace.errors import Failure
from scripts.workspace.paths import ROOT
from scripts.workspace.processes import Processes

# What PyPI itself allows a client.
PAGE_MAX_AGE_S = 600
# Requests that one uv has under way, where it has 50 by itself. Several run side by side, each
# connection of theirs begins with looking up the registry, and of many lookups at once some
# networks lose a part: docs/performance.md.
DOWNLOADS = 8
# glibc asks again after five seconds for a lookup that was lost, unless it is told, resolv.conf(5).
LOOKUPS = "timeout:1 attempts:5"

# What uv says of a registry that gives no answer, or not all of it; a package's name may hold any
# single word.
_UNREACHABLE = re.compile(
    r"error sending request|dns error|connect error|timed out|network was disabled|"
    r"connection (?:refused|reset|closed)|HTTP status (?:server error|client error \((?:408|429))|"
    # An answer that breaks off.
    r"(?:request or response|error decoding response) body|end of file before message",
    re.IGNORECASE,
)


def unreachable(reason: str) -> bool:
    """Return whether uv's message tells of a registry that gave no answer."""
    return _UNREACHABLE.search(reason) is not None


def disk_full(reason: str) -> bool:
    """Return whether uv's message tells of a disk without space: its cache's, or TMPDIR's."""
    return "No space left on device" in reason


def fault(reason: str, what: str) -> Failure | None:
    """Return what to raise for uv's message when the registry or the disk is at fault, else None.

    `what` is what was not done, as in "worker-py3.11 was not resolved".
    """
    if unreachable(reason):
        return Failure(
            f"the package registry could not be reached, so {what}:\n{reason}",
            hint="Check the network and uv's index settings, then try again.",
        )
    if disk_full(reason):
        return Failure(
            f"the disk is full, so {what}:\n{reason}",
            hint="Free some space, or put uv's cache, the workspace or temporary files on another "
            "disk: UV_CACHE_DIR, SDKILN_WORKSPACE, TMPDIR.",
        )
    return None


class Refused(Exception):
    """uv ended with an error; the text is what it said."""


def cutoff(as_of: date) -> datetime:
    """Return the instant at which the day `as_of` ends in UTC; a bare date would be local time."""
    return datetime.combine(as_of, datetime.min.time(), timezone.utc) + timedelta(days=1)


@dataclass(frozen=True)
class Uv:
    """uv with the options of one lock, see `prepared`, and the address of the index, if known."""

    processes: Processes
    options: Sequence[str]
    index: str

    def __call__(self, arguments: Sequence[str]) -> tuple[str, str]:
        """Return what uv printed: its result, and what it said beside it. Raises Refused."""
        environment = {
            "UV_CONCURRENT_DOWNLOADS": str(DOWNLOADS),
            "RES_OPTIONS": LOOKUPS,
            **settings.environment(),
        }
        if self.index:
            # The default index stands in the settings that are written; these would go before it.
            environment.pop("UV_DEFAULT_INDEX", None)
            environment.pop("UV_INDEX_URL", None)
        done = self.processes.run([find_uv_bin(), *arguments, *self.options], environment)
        if done.returncode:
            raise Refused(done.stderr.strip())
        return done.stdout, done.stderr

    def login(self, url: str) -> Login | None:
        """Return the user and password in the index's address for a file of the same server."""
        index, file = urlsplit(self.index), urlsplit(url)
        same = (index.scheme, index.hostname, index.port) == (file.scheme, file.hostname, file.port)
        if not same or index.username is None:
            return None
        return unquote(index.username), unquote(index.password or "")


def prepared(processes: Processes, folder: Path, newest: datetime) -> Uv:
    """Return uv for resolving what was uploaded before `newest`; `folder` holds its settings.

    Of the machine's settings it has those that say how packages are reached, see `settings`. It
    reuses index pages for some minutes, also of a registry that says nothing of caching: the
    targets ask for much the same pages, and reading a page costs more than resolving. A page may
    only be reused when it was fetched after the cutoff. What sdists.toml describes it does not
    build.

    Raises BadInput for settings of the machine that cannot be read.
    """
    file = folder / "uv.toml"
    options = [f"--config-file={file}"]
    machine = {**settings.configuration(), "dependency-metadata": sdists.settings()}
    file.write_text(tomli_w.dumps(machine))
    index = _index(options)
    if index:
        age = int(max(0.0, min(PAGE_MAX_AGE_S, time.time() - newest.timestamp())))
        reuse = {"api": f"max-age={age}", "files": "max-age=31536000, immutable"}
        file.write_text(tomli_w.dumps(_with_reuse(machine, index, reuse)))
    return Uv(processes, options, index)


def _with_reuse(machine: dict[str, Any], index: str, reuse: dict[str, str]) -> dict[str, Any]:
    """Return the settings with what is said of caching at the default index."""
    by_variable = any(os.environ.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"))
    every = [dict(each) for each in machine.get("index", [])]
    others = [each for each in every if not each.get("default")]
    # Its name may be what its login is found by.
    named = [] if by_variable else [each for each in every if each.get("default")][:1]
    (default,) = named or [{"url": index, "default": True}]
    rest = {name: value for name, value in machine.items() if name != "index-url"}
    return {**rest, "index": [*others, {**default, "cache-control": reuse}]}


def _index(options: Sequence[str]) -> str:
    """Return the address of the index as uv's settings have it, or nothing where it is not told."""
    done = subprocess.run(
        [
            *(find_uv_bin(), "pip", "compile", "-", "--quiet", "--no-header", "--emit-index-url"),
            # The one that every resolution names: uv looks at no other, and at this one only once.
            *(f"--python={sys.executable}", "--no-python-downloads"),
            *options,
        ],
        input="",
        cwd=ROOT,
        env=settings.environment(),
        capture_output=True,
        text=True,
    )
    found = re.search(r"^--index-url (\S+)$", done.stdout, re.MULTILINE)
    # Should uv hide a password one day, as it does in logs, it would be no address.
    return found[1] if found is not None and "*" not in found[1] else ""
