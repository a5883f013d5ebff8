"""The probe in any Python of this machine that has torch, without an image."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from scripts.bench.container import parse, staged_probe
from scripts.bench.suite import RawRecord
from scripts.workspace.cli import say
from scripts.workspace.errors import BadInput

OLDEST = (3, 10)
# Of prctl(2): which signal a process gets when its parent ends.
PR_SET_PDEATHSIG = 1
LOOK_S = 60.0
STOP_S = 10.0
_LOOK = (
    "import importlib.util, json, sys; "
    "print(json.dumps([sys.version_info[:2], importlib.util.find_spec('torch') is not None]))"
)


def interpreter(given: str | None) -> Path:
    """The Python to measure in: the given one, or the first `python3` of PATH that is not ours.

    Raises BadInput where it is none, is too old or has no torch.
    """
    found = shutil.which(given or "python3", path=None if given else _path_of_the_user())
    if found is None:
        raise BadInput(
            f"there is no Python {given}." if given else "there is no python3 on PATH.",
            hint="Name one that has torch: --python PATH",
        )
    try:
        answer = subprocess.run(
            [found, "-c", _LOOK], capture_output=True, text=True, timeout=LOOK_S, check=True
        ).stdout
        version, has_torch = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise BadInput(f"{found} is no Python that runs: {error}.") from None
    if tuple(version) < OLDEST:
        raise BadInput(
            f"{found} is Python {version[0]}.{version[1]}; 3.10 is the oldest that does."
        )
    if not has_torch:
        raise BadInput(f"{found} has no torch.", hint="Name one that has: --python PATH")
    return Path(found)


def _path_of_the_user() -> str:
    """PATH without the environment that this program itself runs in."""
    own = Path(sys.prefix, "bin")
    parts = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(part for part in parts if Path(part) != own)


def run_probe(
    python: Path, arguments: Sequence[str], limit_s: float, code: dict[str, int]
) -> Generator[RawRecord, None, None]:
    """Run the probe in `python`; yield its records as they come. Its progress goes to stderr.

    `code["exit"]` holds its exit code afterwards. A probe that is not done within `limit_s`
    seconds is killed: what it had measured has been yielded.
    """
    with staged_probe() as folder, process_of(python, arguments, folder) as process:
        timer = threading.Timer(limit_s, _kill, (process, limit_s))
        timer.daemon = True
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.endswith(b"\n"):  # a killed probe may leave half a line
                    yield parse(line)
            code["exit"] = process.wait()
        finally:
            timer.cancel()


@contextmanager
def process_of(
    python: Path,
    arguments: Sequence[str],
    folder: Path,
    stdin: int = subprocess.DEVNULL,
    stderr: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """The process of the probe in `folder`, which ends with the block on every way out of it."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [python, "-m", "probe", *arguments],
        stdout=subprocess.PIPE,
        stdin=stdin,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        # Ctrl-C is ours to pass on: the probe would answer it with a traceback.
        start_new_session=True,
        # If we are killed, it must not go on and slow down whatever is measured next.
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in filter(None, (process.stdout, process.stdin)):
            with suppress(BrokenPipeError):
                pipe.close()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill(process: subprocess.Popen[bytes], limit_s: float) -> None:
    say(f"bench: the probe was not done after {limit_s:.0f} s and is stopped.")
    process.kill()
