"""Git sources by commit: from the first origin that has the very commit, without .git."""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.workspace.errors import Failure
from scripts.workspace.paths import CACHE


def checkout(name: str, commit: str, origins: Sequence[str]) -> Path:
    """Return a folder with the files of a commit, fetching it when it is not there yet.

    A commit id pins the content whatever the origin is. Raises Failure when no origin has it.
    """
    folder = CACHE / "sources" / f"{name}-{commit}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for origin in origins:
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            repository, files = Path(temporary, "git"), Path(temporary, "files")
            failure = _fetch(repository, origin, commit)
            if failure:
                failures.append(f"{origin}: {failure}")
                continue
            archive = Path(temporary, "files.tar")
            _git(repository, "archive", f"--output={archive}", commit)
            with tarfile.open(archive) as tar:
                tar.extractall(files, filter="data")
            files.rename(folder)
            return folder
    raise Failure(
        f"no origin gave commit {commit} of {name}:\n  " + "\n  ".join(failures),
        hint="Check the network, add an origin in workspace.toml, or put a checkout in its place: "
        "--context source=PATH",
    )


def _fetch(repository: Path, origin: str, commit: str) -> str:
    """Fetch a commit into a new repository; return why that failed, or ''."""
    if shutil.which("git") is None:
        return "git is not installed (apt-get install git)"
    _git(repository, "init", "--quiet", "--bare", str(repository))
    # One commit where the server gives any by id, as the large hosts do; all of it elsewhere.
    for depth in (["--depth=1", origin, commit], [origin, "+refs/*:refs/*"]):
        done = _git(repository, "fetch", "--quiet", *depth)
        if done.returncode == 0 and _git(repository, "cat-file", "-e", commit).returncode == 0:
            return ""
    return done.stderr.strip() or "does not have it"


def _git(repository: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    repository.mkdir(parents=True, exist_ok=True)
    # A private or deleted repository must answer with an error, not ask for a password.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["git", *arguments], cwd=repository, env=environment, capture_output=True, text=True
    )
