"""A second opinion: the locks computed again with pip-tools, which shares no code with uv."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from uv import find_uv_bin

from scripts.lock.lockfile import Pin, digest, locked, pins, read
from scripts.lock.resolve import Job, compile_all
from scripts.lock.uv import cutoff, fault
from scripts.workspace.errors import Failure, Inconclusive
from scripts.workspace.files import exclusive
from scripts.workspace.model import Workspace
from scripts.workspace.paths import CACHE, LOCKFILES, ROOT, shown
from scripts.workspace.processes import Processes

LOCK = "verify"


@dataclass(frozen=True)
class Difference:
    """A package that the two resolvers do not agree on: in uv's words, and in pip-compile's."""

    target: str
    name: str
    locked: str
    verified: str


def interpreter(version: str) -> str | None:
    """Return the path of a CPython of this version on this machine, or None.

    A universal lock names no version: it is tried with the Python that runs this.
    """
    if not version:
        return sys.executable
    found = subprocess.run(
        [find_uv_bin(), "python", "find", "--system", "--no-python-downloads", version],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return found.stdout.strip() if found.returncode == 0 else None


def elsewhere(job: Job, workspace: Workspace) -> str | None:
    """Return why pip-compile cannot be asked for a lock on this machine, or None when it can.

    pip-compile resolves for the platform that it runs on, whose markers may differ.
    """
    machine = workspace.lock.platform.partition("-")[0]
    wanted, here = f"Linux on {machine}", f"{platform.system()} on {platform.machine()}"
    if not job.target.python or here == wanted:
        return None
    return f"it is for {wanted}, and pip-compile would resolve for this machine, {here}"


def verify(
    jobs: Sequence[Job], workspace: Workspace, progress: Callable[[str], None]
) -> list[Difference]:
    """Return where pip-compile does not give what the locks of `jobs` hold.

    Each job's Python must be on this machine, and no job may be for one `elsewhere`. Of a universal
    lock, what is meant for the Python that runs this is compared: pip-compile knows one
    interpreter. Raises Inconclusive when pip-compile cannot be asked the same question, Failure
    when it gives no answer.
    """
    if workspace.lock.ahead:
        raise Inconclusive(
            "pip-compile knows one cutoff for all packages, but [lock] holds others ahead of it: "
            f"{', '.join(sorted(workspace.lock.ahead))}.",
            hint="Move everything to one day, then verify: ./nox -s lock -- --as-of DATE",
        )
    tools = {version: _tool(version) for version in sorted({job.target.python for job in jobs})}
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(max_workers=max(1, len(jobs))) as threads,
        Processes(os.cpu_count() or 1) as processes,
    ):

        def compared(job: Job) -> list[Difference]:
            output = Path(folder) / f"{job.target.name}.txt"
            made = _compile(job, tools[job.target.python], output, workspace, processes)
            ours = _for_here(locked(job.target.name), job)
            found = list(differences(job.target.name, ours, made))
            progress(
                f"{job.target.name}: {len(made)} packages, "
                + (f"{len(found)} differ." if found else "the same versions and hashes.")
            )
            return found

        # In the order of the targets, whichever ends first.
        return [each for found in threads.map(compared, jobs) for each in found]


def _for_here(pins: Iterable[Pin], job: Job) -> list[Pin]:
    """Return what is meant for the Python that runs this: at most one pin of each package."""
    if job.target.python:
        return list(pins)
    markers = [(pin, Requirement(pin.requirement).marker) for pin in pins]
    return [pin for pin, marker in markers if marker is None or marker.evaluate()]


def differences(target: str, ours: Sequence[Pin], theirs: Sequence[Pin]) -> Iterator[Difference]:
    """Yield each package that is missing in one lock, or has another version or other hashes."""
    one, other = ({pin.name: pin for pin in pins} for pins in (ours, theirs))
    for name in sorted(one.keys() | other.keys()):
        left, right = one.get(name), other.get(name)
        if left is None or right is None or left.version != right.version:
            yield Difference(
                target, name, left.version if left else "-", right.version if right else "-"
            )
        elif set(left.hashes) != set(right.hashes):
            missing = len(set(right.hashes) - set(left.hashes))
            surplus = len(set(left.hashes) - set(right.hashes))
            yield Difference(
                target,
                name,
                f"{left.version}, {len(left.hashes)} hashes",
                f"{missing} hashes more, {surplus} less",
            )


def drifted(found: Sequence[Difference], jobs: Sequence[Job], workspace: Workspace) -> bool:
    """Return whether uv would not lock any of these packages as they are locked, either.

    Then the resolvers agree, and the registry shows other files than on the day of the lock.
    Raises what `compile_all` raises.
    """
    concerned = [job for job in jobs if job.target.name in {each.target for each in found}]
    moved = {
        (each.target, each.name)
        for job, made in zip(concerned, compile_all(concerned, workspace), strict=True)
        for each in differences(
            job.target.name,
            _for_here(locked(job.target.name), job),
            _for_here(pins(made.body), job),
        )
    }
    return {(each.target, each.name) for each in found} <= moved


def _tool(version: str) -> Path:
    """Return the Python of an environment with pip-tools, installed once per lock."""
    lock = LOCKFILES / f"{LOCK}.txt"
    key = digest(read(lock).body).removeprefix("sha256:")[:12]
    found = interpreter(version)
    assert found is not None
    folder = CACHE / LOCK / f"py{version or platform.python_version()}-{key}"
    python = folder / "bin" / "python"
    with exclusive(CACHE / LOCK / "lock", "installing pip-tools"):
        # A link to a Python that was removed since does not exist.
        if not ((folder / "complete").exists() and python.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            uv = find_uv_bin()
            for command in (
                [uv, "venv", "--quiet", "--python", found, str(folder)],
                [
                    uv,
                    "pip",
                    "sync",
                    "--quiet",
                    "--require-hashes",
                    f"--python={python}",
                    shown(lock),
                ],
            ):
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
                if done.returncode:
                    reason = done.stderr.strip()
                    raise fault(reason, f"pip-tools was not installed for Python {version}") or (
                        Failure(f"pip-tools cannot be installed for Python {version}:\n{reason}")
                    )
            (folder / "complete").touch()
    return python


def _compile(
    job: Job, python: Path, output: Path, workspace: Workspace, processes: Processes
) -> list[Pin]:
    below = locked(job.base.name) if job.base is not None else []
    constraints = output.with_suffix(".constraints")
    constraints.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in below))
    done = processes.run(
        [
            *(str(python), "-m", "piptools", "compile", "--quiet", "--no-config"),
            *("--generate-hashes", "--allow-unsafe", "--strip-extras"),
            *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
            f"--uploaded-prior-to={cutoff(workspace.lock.as_of).isoformat()}",
            f"--cache-dir={CACHE / LOCK / 'pip-tools'}",
            *([f"--constraint={constraints}"] if below else []),
            f"--output-file={output}",
            *[shown(file) for file in job.files],
        ]
    )
    if done.returncode:
        raise Failure(
            f"pip-compile gives no answer for {job.target.name}:\n{done.stderr.strip()[-2000:]}",
            hint="If it could not reach the registry, try again; else the locks are in doubt.",
        )
    names = {pin.name for pin in below}
    return [pin for pin in pins(output.read_text()) if pin.name not in names]
