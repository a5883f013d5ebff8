"""Each target as a pylock.toml (PEP 751), for installers that read no requirements files.

These files name the address of every file, that is, the registry that this machine uses: they are
made where they are used, and not committed.
"""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.lock.lockfile import locked
from scripts.lock.resolve import Job, cutoffs, options
from scripts.lock.uv import Refused, fault, prepared
from scripts.workspace.errors import Failure
from scripts.workspace.files import write_atomic
from scripts.workspace.model import Workspace
from scripts.workspace.processes import Processes


def write_all(jobs: Sequence[Job], workspace: Workspace, folder: Path) -> list[Path]:
    """Write `pylock.TARGET.toml` for every job, with the lock that it extends; return the paths.

    The names are as PEP 751 wants them, which allows no dot within. Raises Failure when the
    registry does not answer.
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
            write_atomic(path, text)
            return path

        return list(threads.map(written, jobs))
