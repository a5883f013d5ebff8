"""Python environments: each target compiled by uv, side by side."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from uv import find_uv_bin

from scripts.lock.lockfile import Lockfile, pins
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.files import sha256
from scripts.workspace.model import Target, Workspace
from scripts.workspace.paths import LOCKFILES, ROOT, shown


@dataclass(frozen=True)
class Job:
    """What one compilation is told: a target, its .in files, and the lock it lies on, if any."""

    target: Target
    files: tuple[Path, ...]
    base: Target | None
    inputs: dict[str, str]

    @property
    def path(self) -> Path:
        """The lockfile to write."""
        return LOCKFILES / f"{self.target.name}.txt"


def job(workspace: Workspace, target: Target) -> Job:
    """Return the job of a target; raises BadInput for an .in file that is not there."""
    environment = workspace.environments[target.environment]
    base = None
    files = [ROOT / environment.requirements]
    if environment.extends is not None:
        base = target.model_copy(update={"environment": environment.extends})
    elif target.stack is not None:
        files.append(ROOT / workspace.stacks[target.stack].requirements)
    inputs = {
        "as_of": workspace.lock.as_of.isoformat(),
        "python": target.python or f">={environment.pythons[0]}",
        "platform": "any" if environment.universal else workspace.lock.platform,
    }
    inputs |= {shown(file): f"sha256:{sha256(file)}" for file in included(files)}
    if base is not None:
        for name, value in job(workspace, base).inputs.items():
            inputs.setdefault(name, value)
    return Job(target, tuple(files), base, inputs)


def included(files: Sequence[Path]) -> list[Path]:
    """Return the files and those that they name with `-r` or `-c`, at any depth."""
    found: list[Path] = []
    for file in files:
        if not file.exists():
            raise BadInput(f"{shown(file)} does not exist, but workspace.toml or an .in file asks.")
        found.append(file)
        names = re.findall(r"^-[rc]\s+(\S+)", file.read_text(), re.MULTILINE)
        found += included([file.parent / name for name in names])
    return found


def compile_all(jobs: Sequence[Job], workspace: Workspace) -> list[Lockfile]:
    """Compile every job, two kinds in turn: those that lie on another lock come last.

    Raises BadInput with the resolver's reason and the .in lines it concerns, or Failure when the
    registry cannot be reached. Nothing is written to lockfiles/.
    """
    running: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        bodies = Path(folder)

        def compiled(each: Job) -> Lockfile:
            return Lockfile(each.path, each.inputs, _compile(each, workspace, bodies, running))

        try:
            first = list(pool.map(compiled, [each for each in jobs if each.base is None]))
            for lock in first:
                (bodies / lock.path.name).write_text(lock.body)
            rest = list(pool.map(compiled, [each for each in jobs if each.base is not None]))
        except BaseException:
            # Ctrl-C, or one that failed: the pool would wait for all the others.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.kill()
            raise
    return first + rest


def cutoff(as_of: date) -> str:
    """Return the instant at which the day `as_of` ends in UTC; a bare date would be local time."""
    return f"{as_of + timedelta(days=1)}T00:00:00Z"


def _compile(
    each: Job, workspace: Workspace, bodies: Path, running: "list[subprocess.Popen[str]]"
) -> str:
    environment = workspace.environments[each.target.environment]
    command = [
        find_uv_bin(),
        "pip",
        "compile",
        "--quiet",
        "--generate-hashes",
        "--no-header",
        # The interpreter at hand reads the metadata of sdists; without these two, uv searches for
        # one of the target's version, and then tries to download it, for seconds each time.
        f"--python={sys.executable}",
        "--no-python-downloads",
        f"--exclude-newer={cutoff(workspace.lock.as_of)}",
        f"--python-version={each.target.python or environment.pythons[0]}",
        *(["--universal"] if environment.universal else []),
        *([] if environment.universal else [f"--python-platform={workspace.lock.platform}"]),
        *[shown(file) for file in each.files],
    ]
    if each.base is not None:
        beneath = bodies / f"{each.base.name}.txt"
        if not beneath.exists():
            beneath = LOCKFILES / beneath.name
        constraints = bodies / f"{each.target.name}.constraints"
        below = list(pins(beneath.read_text()))
        constraints.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in below))
        command += [f"--constraints={constraints}"]
        command += [f"--no-emit-package={pin.name}" for pin in below]
        # Annotations would name the temporary file.
        command += ["--no-annotate"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    running.append(process)
    body, reason = process.communicate()
    if process.returncode == 0:
        list(pins(body))  # refuses a lock that is not complete
        return body
    raise explained(each, reason.strip())


def explained(each: Job, reason: str) -> Failure:
    """Return what to raise for uv's message: BadInput, or Failure when nothing was reached."""
    unreachable = r"error sending request|failed to fetch|dns error|connect|timed out|offline"
    if re.search(unreachable, reason, re.IGNORECASE) and "No solution found" not in reason:
        return Failure(
            f"the package registry could not be reached for {each.target.name}:\n{reason}",
            hint="Nothing was written. Check the network and uv's index settings, then lock again.",
        )
    lines = "\n".join(f"  {line}" for line in concerned(reason, each.files))
    return BadInput(
        f"{each.target.name} cannot be resolved:\n{reason}" + (f"\n{lines}" if lines else ""),
        hint="Nothing was written. Change the lines above, or as_of in workspace.toml.",
    )


def concerned(reason: str, files: Sequence[Path]) -> list[str]:
    """Return `file:line: text` for each line of the .in files that a resolver's reason names."""
    words = {canonicalize_name(word) for word in re.findall(r"[A-Za-z0-9][\w.-]*\w", reason)}
    found = []
    for file in included(files):
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            text = line.split("#")[0].strip()
            try:
                name = canonicalize_name(Requirement(text).name)
            except InvalidRequirement:
                # A line that is no requirement is what is wrong, unless it is an option.
                if text and not text.startswith("-"):
                    found.append(f"{shown(file)}:{number}: {line}")
                continue
            if name in words:
                found.append(f"{shown(file)}:{number}: {line}")
    return found
