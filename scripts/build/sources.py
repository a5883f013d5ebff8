"""Git sources by commit: from the first origin that has the very commit, without .git."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.workspace.errors import Failure
from scripts.workspace.git import git
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
            files = Path(temporary, "files")
            files.mkdir()
            if failure := _fetch(Path(temporary), files, origin, commit):
                failures.append(f"{origin}: {failure}")
                continue
            files.rename(folder)
            return folder
    raise Failure(
        f"no origin gave commit {commit} of {name}:\n  " + "\n  ".join(failures),
        hint="Check the network, add an origin in workspace.toml, or put a checkout in its place: "
        "--context source=PATH",
    )


def _fetch(temporary: Path, files: Path, origin: str, commit: str) -> str:
    """Put the files of a commit into `files`; return why that failed, or ''."""
    repository = temporary / "git"
    git("init", "--quiet", "--bare", str(repository), folder=temporary)
    said = ""
    # One commit where the server gives any by id, as the large hosts do; all of it elsewhere.
    for what in (["--depth=1", origin, commit], [origin, "+refs/*:refs/*"]):
        done = git("fetch", "--quiet", *what, folder=repository)
        said = done.stderr.strip() or "does not have it"
        if git("cat-file", "-e", commit, folder=repository).returncode == 0:
            tree = f"--work-tree={files}"
            done = git(tree, "checkout", "--quiet", commit, "--", ".", folder=repository)
            return done.stderr.strip() if done.returncode else ""
    return said
