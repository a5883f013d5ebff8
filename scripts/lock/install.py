"""A lock, tried: installed by hash into an environment to throw away, and imported from there."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from scripts.lock import importer
from scripts.lock.lockfile import Pin, digest, pins, read
from scripts.lock.resolve import BUILD, job
from scripts.lock.uv import fault
from scripts.lock.verify import interpreter
from scripts.workspace.errors import CheckFailed, Failure
from scripts.workspace.files import exclusive, require_space
from scripts.workspace.model import Target, Workspace
from scripts.workspace.paths import LOCKFILES, ROOT, WORKSPACE

ENVIRONMENTS = WORKSPACE / "install"
# A wheel unpacks to a little under twice its size, a small one to more: seen were 6.0 GB for the
# web UI's 3.2 GB, and 143 MB for the worker's 49 MB.
UNPACKED, SMALL = 2, 100_000_000
IMPORT_TIMEOUT_S = 900

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """Locks that are installed together, the Python to do it with, and the modules to import.

    `python` is the path of an interpreter, `builders` the lock of what builds sdists. The platform,
    as uv calls it, chooses among the files of a package; without one, this machine does.
    """

    name: str
    locks: tuple[Path, ...]
    python: str
    modules: tuple[str, ...]
    builders: Path = LOCKFILES / f"{BUILD}.txt"
    platform: str | None = None

    @property
    def pins(self) -> list[Pin]:
        """The packages of all the locks."""
        return [pin for lock in self.locks for pin in pins(lock.read_text())]


def install(target: Target, workspace: Workspace, progress: Progress) -> None:
    """Install a target's lock, on the lock that it extends, and import what it is there for.

    `progress` is told a line per phase. A universal lock is installed for the Python that runs
    this. Raises BadInput for a lock that is missing or was edited, and what `attempt` raises.
    """
    base = job(workspace, target).base
    names = [each.name for each in (base, target) if each is not None]
    for name in (*names, BUILD):
        read(LOCKFILES / f"{name}.txt")
    locks = tuple(LOCKFILES / f"{name}.txt" for name in names)
    environment = workspace.environments[target.environment]
    # The very files that the image installs, whatever else would fit this machine.
    platform = None if environment.universal else workspace.lock.platform
    attempt(
        Trial(target.name, locks, _python(target), environment.imports, platform=platform), progress
    )


def attempt(trial: Trial, progress: Progress) -> None:
    """Install the locks of a trial, hold their packages against one another, import the modules.

    Raises CheckFailed when packages do not fit together or a module does not import, with a line
    for each, and what `installed` raises.
    """
    with installed(trial, progress) as python:
        count = len(trial.pins)
        with _timed(progress, f"{trial.name}: {count} packages held against one another"):
            conflicts = _conflicts(python)
        with _timed(progress, f"{trial.name}: {len(trial.modules)} modules tried"):
            failures = _failures(python, trial.modules, python.parents[2])
    if conflicts or failures:
        raise _rejected(trial, conflicts, failures)


@contextmanager
def installed(trial: Trial, progress: Progress) -> Iterator[Path]:
    """Install the locks of a trial by hash; yield the path of the environment's Python.

    Raises CheckFailed when a package cannot be installed as it is locked, Failure when the registry
    is away or the disk too small. The environment is removed on every way out.
    """
    packages = trial.pins
    # Of a universal lock, this counts what other Pythons take, too; its environments are small.
    size = sum(pin.file.size for pin in packages if pin.file is not None)
    require_space(ENVIRONMENTS, UNPACKED * size + SMALL, f"installing {trial.name}")
    with tempfile.TemporaryDirectory(dir=ENVIRONMENTS, prefix=f"{trial.name}.") as folder:
        environment = Path(folder, "environment")
        python = environment / "bin" / "python"
        count = f"{trial.name}: {len(packages)} packages"
        progress(f"{count} to install{f', {size / 1e6:,.0f} MB unless cached' if size else ''}.")
        with _timed(progress, f"{count} installed by hash"):
            fill(trial, environment)
        yield python


def kept(trial: Trial, folder: Path, progress: Progress) -> Path:
    """Install the locks of a trial once, to stay; return the path of the environment's Python.

    It lies below `folder`, named by what the locks hold and which Python it is of; what other locks
    left there goes. Raises what `installed` raises.
    """
    parts = [trial.python, *(lock.read_text() for lock in trial.locks)]
    key = digest("\0".join(parts)).removeprefix("sha256:")[:16]
    environment = folder / key
    python = environment / "bin" / "python"
    with exclusive(folder / "lock", f"installing {trial.name}"):
        # A link to a Python that was removed since does not exist.
        if python.exists():
            return python
        with installed(trial, progress) as made:
            for old in folder.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            made.parents[1].rename(environment)
    return python


def _python(target: Target) -> str:
    found = interpreter(target.python)
    if found is None:
        raise Failure(
            f"{target.name} is for Python {target.python}, which is not on this machine.",
            hint=f"Install it, for example with .workspace/venv/bin/uv python install "
            f"{target.python} or apt-get install python{target.python}, and try again.",
        )
    return found


@contextmanager
def _timed(progress: Progress, done: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    progress(f"{done} in {time.monotonic() - started:.1f} s.")


def _uv(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([find_uv_bin(), *arguments], cwd=ROOT, capture_output=True, text=True)


def fill(trial: Trial, environment: Path) -> None:
    """Make an environment with what the locks of a trial hold, by hash, and nothing else.

    Raises CheckFailed when a package cannot be installed as it is locked, Failure when the registry
    is away or the disk full; what is there of the environment then is of no use.
    """
    python = environment / "bin" / "python"
    for arguments in (
        ["venv", "--quiet", "--no-python-downloads", f"--python={trial.python}", str(environment)],
        [
            *("pip", "install", "--quiet", f"--python={python}"),
            # As the image does it: nothing that the lock does not name. What is missing shows when
            # the packages are held against one another.
            *("--no-deps", "--require-hashes"),
            *([f"--python-platform={trial.platform}"] if trial.platform else []),
            # uv also holds the builders to their hashes then, where it has to build.
            f"--build-constraints={trial.builders}",
            *[f"--requirements={lock}" for lock in trial.locks],
        ],
    ):
        done = _uv(*arguments)
        if done.returncode:
            raise _explained(trial, done.stderr.strip())


def _explained(trial: Trial, reason: str) -> Failure:
    """Return what to raise for uv's message: the machine's fault, or the lock's."""
    return fault(reason, f"{trial.name} was not installed") or CheckFailed(
        f"{trial.name} cannot be installed:\n{reason}",
        hint="If a hash differs, the index or a proxy alters files: do not build with them. "
        "If a file is gone, move the pin: ./nox -s lock -- --upgrade NAME",
    )


def _conflicts(python: Path) -> list[str]:
    """Return a sentence for each package that lacks another, or has one that it does not take."""
    done = _uv("pip", "check", f"--python={python}")
    found = [line for line in done.stderr.splitlines() if line.startswith("The package")]
    if done.returncode and not found:
        raise Failure(f"uv pip check gives no answer:\n{done.stderr.strip()}")
    return found


def _failures(python: Path, modules: Sequence[str], folder: Path) -> dict[str, str]:
    """Return the last line of the traceback of every module that does not import.

    They are imported in one fresh process without a GPU, from an empty folder, and in another one
    from where the first was killed, if a module did that.
    """
    found: dict[str, str] = {}
    left = list(modules)
    empty = folder / "empty"
    empty.mkdir()
    # A home of their own, because some write there. CUDA sees no device.
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "TMPDIR": str(folder)}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    while left:
        results = folder / f"results-{len(left)}"
        results.touch()
        command = [str(python), "-I", "-B", importer.__file__, str(results), *left]
        ended = _ended(command, empty, environment)
        reasons = [json.loads(line) for line in results.read_text().splitlines()]
        found |= {name: reason for name, reason in zip(left, reasons, strict=False) if reason}
        left = left[len(reasons) :]
        if left:
            found[left.pop(0)] = ended
    return found


def _ended(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run a program to its end, whatever it prints; return how it ended, in words."""
    try:
        code = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=IMPORT_TIMEOUT_S,
        ).returncode
    except subprocess.TimeoutExpired:
        return f"it was not imported within {IMPORT_TIMEOUT_S} s"
    return f"it ended Python with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"


def _rejected(trial: Trial, conflicts: Sequence[str], failures: Mapping[str, str]) -> CheckFailed:
    lines = [*conflicts, *(f"import {module}: {reason}" for module, reason in failures.items())]
    hint = "Hold back the package that moved, with the reason, in requirements/."
    if any("cannot open shared object file" in reason for reason in failures.values()):
        hint = "A system library is missing here: [debian] system in workspace.toml names them."
    wrong = []
    if conflicts:
        wrong.append(f"{len(conflicts)} requirements are not met")
    if failures:
        wrong.append(f"{len(failures)} of {len(trial.modules)} modules cannot be imported")
    return CheckFailed(
        f"{trial.name} installs, but {' and '.join(wrong)}:\n  " + "\n  ".join(lines), hint=hint
    )
