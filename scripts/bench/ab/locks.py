"""Locks of the webui environment: from a file or git, told apart, and installed once each."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from scripts.bench.ab.ask import Side
from scripts.lock.install import SMALL, UNPACKED, Trial, fill
from scripts.lock.lockfile import parse, pins
from scripts.lock.resolve import BUILD
from scripts.lock.verify import interpreter
from scripts.workspace.cli import say
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.files import exclusive, require_space
from scripts.workspace.git import git
from scripts.workspace.model import Profile, load
from scripts.workspace.paths import BENCH, LOCKFILES, ROOT, shown

LOCKS = BENCH / "locks"
WEBUI, PROBE = "webui-", "probe-"
"""How names of lockfiles begin; what follows is the stack and the Python."""
HINT = "LOCK is a file, COMMIT:PATH or COMMIT; a commit's own lock is the profile's."


def lock_of(profile: Profile) -> str:
    """The path of a profile's webui lockfile, from the root of the repository."""
    return f"{LOCKFILES.name}/{WEBUI}{profile.stack}-py{profile.python}.txt"


def side(given: str, profile: Profile) -> Side:
    """Return the lock that a person names: by a file, COMMIT:PATH or COMMIT.

    Raises BadInput where there is none, where it was edited, or is none of the webui environment.
    """
    if Path(given).is_file():
        return of_file(Path(given))
    commit, colon, path = given.partition(":")
    if not colon and (given.endswith(".txt") or "/" in given) and not _commit(given):
        raise BadInput(f"there is no lockfile {given}.", hint=HINT)
    return of_commit(commit, path if colon else lock_of(profile))


def of_file(path: Path) -> Side:
    """Return the lock of a file, with the probe's beside it. Raises BadInput as `side` does."""
    beside = path.with_name(_probe(path.name))
    try:
        probe = beside.read_text() if beside != path and beside.is_file() else ""
        return _checked(Side(shown(path), path.read_text(), probe))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{shown(path)} cannot be read: {error}.", hint=HINT) from None


def of_commit(commit: str, path: str) -> Side:
    """Return the lock at `path`, from the root of the repository, as a commit had it.

    Raises BadInput as `side` does.
    """
    digest = _commit(commit)
    if not digest:
        raise BadInput(f"git knows no commit {commit!r}.", hint=HINT)
    text = _shown_by_git(digest, path)
    if text is None:
        raise BadInput(f"commit {commit} has no file {path!r}.", hint=HINT)
    name = PurePosixPath(path)
    beside = str(name.with_name(_probe(name.name)))
    probe = _shown_by_git(digest, beside) if beside != path else None
    return _checked(Side(f"{commit}:{path}", text, probe or ""))


def _probe(name: str) -> str:
    return PROBE + name.removeprefix(WEBUI) if name.startswith(WEBUI) else name


def _commit(name: str) -> str:
    """The digest of a commit, empty where git knows none of that name."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return git(*asked, folder=ROOT).stdout.strip()


def _shown_by_git(commit: str, path: str) -> str | None:
    done = git("show", f"{commit}:{path}", folder=ROOT)
    return done.stdout if done.returncode == 0 else None


def _checked(found: Side) -> Side:
    """Raise BadInput for a lock that was edited, or in which there is nothing to measure."""
    for text in filter(None, (found.text, found.probe)):
        # As a path, for the messages alone.
        parse(Path(found.name), text)
    if "torch" not in versions(found):
        raise BadInput(f"{found.name} has no torch: it is no lock of the webui environment.")
    python_of(found)
    return found


def python_of(found: Side) -> str:
    """The Python that a lock was computed for, as 3.11. Raises BadInput where it names none."""
    version = parse(Path(found.name), found.text).inputs.get("python", "")
    if not version:
        raise BadInput(f"{found.name} does not say for which Python it is.")
    return version


def versions(found: Side) -> dict[str, str]:
    """The version of every package of a lock and of the probe's beside it."""
    return {pin.name: pin.version for text in (found.text, found.probe) for pin in pins(text)}


def differing(before: Side, after: Side) -> Iterator[str]:
    """Yield what the locks have not alike, "torch 2.1.2 -> 2.8.0"; what one lacks is "none"."""
    old, new = versions(before), versions(after)
    old["Python"], new["Python"] = python_of(before), python_of(after)
    for name in sorted(old | new):
        if old.get(name) != new.get(name):
            yield f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}"


def installed(found: Side) -> Path:
    """Install a lock by hash into an environment of its own, if it is not there; its Python.

    Two sessions at once wait for each other, and an environment is there whole or not at all.
    Raises Failure where the lock's Python is not on this machine, the registry is away or the disk
    too small, CheckFailed where a package is not as it was locked.
    """
    key = hashlib.sha256(f"{found.text}\n{found.probe}".encode()).hexdigest()
    folder = LOCKS / key
    python = folder / "bin" / "python"
    with exclusive(LOCKS / "lock", f"installing {found.name}"):
        _sweep()
        if not _runs(python):
            shutil.rmtree(folder, ignore_errors=True)
            _install(found, folder)
    return python


def _sweep() -> None:
    """Remove what a killed installation left; the lock is held, so nobody is at it."""
    for left in LOCKS.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)


def _runs(python: Path) -> bool:
    """Whether an environment is there, and its base Python, which is not part of it, still is."""
    if not python.exists():
        return False
    return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def _install(found: Side, folder: Path) -> None:
    version = python_of(found)
    base = interpreter(version)
    if base is None:
        raise Failure(
            f"{found.name} is for Python {version}, which is not on this machine.",
            hint=f"Install it, for example with .workspace/venv/bin/uv python install {version}",
        )
    with tempfile.TemporaryDirectory(dir=LOCKS, prefix=".") as temporary:
        paths = []
        for name, text in (("webui.txt", found.text), ("probe.txt", found.probe)):
            path = Path(temporary, name)
            path.write_text(text)
            paths += [path] if text else []
        trial = Trial(
            name=found.name,
            locks=tuple(paths),
            python=base,
            modules=(),
            builders=LOCKFILES / f"{BUILD}.txt",
            platform=load().lock.platform,
        )
        size = sum(pin.file.size for pin in trial.pins if pin.file is not None)
        require_space(LOCKS, UNPACKED * size + SMALL, f"installing {found.name}")
        count = f"{size / 1e6:,.0f} MB unless cached"
        say(f"bench: installing {found.name}, {count}, below {shown(LOCKS)}")
        made = Path(temporary, "environment")
        fill(trial, made)
        made.rename(folder)
