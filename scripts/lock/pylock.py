"""Each target as a pylock.toml (PEP 751), for installers that read no requirements files.

These files name the address of every file, that is, the registry that this machine uses: they are
made where they are used, and not committed.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tomli
import tomli_w
from packaging.utils import canonicalize_name

from scripts.lock.lockfile import Pin, locked
from scripts.lock.resolve import Job, cutoffs, options
from scripts.lock.uv import Refused, fault, prepared
from scripts.workspace.errors import CheckFailed, Failure
from scripts.workspace.files import write_atomic
from scripts.workspace.model import Workspace
from scripts.workspace.processes import Processes


def write_all(jobs: Sequence[Job], workspace: Workspace, folder: Path) -> list[Path]:
    """Write `pylock.TARGET.toml` for every job, with the lock that it extends; return the paths.

    The names are as PEP 751 wants them, which allows no dot within. Raises Failure when the
    registry does not answer, CheckFailed when it has other files than the lock holds.
    """
    limits = cutoffs(workspace.lock)
    with (
        tempfile.TemporaryDirectory() as temporary,
        ThreadPoolExecutor(max_workers=max(1, len(jobs))) as threads,
        Processes(2 * (os.cpu_count() or 1)) as processes,
    ):
        uv = prepared(processes, Path(temporary), max(limits.values()))

        def written(job: Job) -> Path:
            pins = locked(job.target.name) + (locked(job.base.name) if job.base else [])
            lock = Path(temporary) / f"{job.target.name}.txt"
            lock.write_text("".join(pin.text for pin in sorted(pins, key=lambda pin: pin.name)))
            try:
                text, _ = uv(
                    [
                        *options(job, workspace, limits),
                        "--no-deps",
                        "--format=pylock.toml",
                        str(lock),
                    ]
                )
            except Refused as reason:
                raise (
                    fault(str(reason), f"{job.target.name} was not written")
                    or Failure(f"{job.target.name} cannot be written as pylock.toml:\n{reason}")
                ) from None
            path = folder / f"pylock.{job.target.name.replace('.', '')}.toml"
            write_atomic(path, held(text, pins, job.target.name))
            return path

        return list(threads.map(written, jobs))


def held(text: str, pins: Sequence[Pin], target: str) -> str:
    """Return a pylock.toml without the files whose hash the lock does not hold.

    The registry may show a release's later files by now, or others than it did. Raises CheckFailed
    for a package of which the lock holds none of the files that are there.
    """
    content = tomli.loads(text)
    # A universal lock may hold several versions of a package, each for its Pythons.
    hashes = {(pin.name, pin.version): set(pin.hashes) for pin in pins}
    changed = False
    for package in content.get("packages", ()):
        known = hashes[canonicalize_name(package["name"]), package["version"]]
        wheels = [each for each in package.get("wheels", ()) if _hash(each) in known]
        sdist = package.get("sdist")
        if sdist is not None and _hash(sdist) not in known:
            del package["sdist"]
            changed = True
        if len(wheels) < len(package.get("wheels", ())):
            package["wheels"] = wheels
            changed = True
        if not wheels and "sdist" not in package:
            raise CheckFailed(
                f"{target}: the registry has no file of {package['name']} "
                f"{package['version']} whose hash the lock holds.",
                hint="The index or a proxy alters files, or they were replaced: do not install "
                "them.",
            )
    return tomli_w.dumps(content) if changed else text


def _hash(file: Mapping[str, Any]) -> str:
    return f"sha256:{file['hashes'].get('sha256')}"
