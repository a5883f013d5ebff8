"""The container's first process: starts web UI and worker, and lets neither outlive the other.

Two children rather than the SDK in this process: the SDK takes over SIGTERM and SIGINT, ends
itself by os._exit when a fitness check fails, and blocks for up to 90 s in its wait for jobs. A
process that does nothing but wait for signals and for the end of its children notices the death
of either at once, whatever the other is doing, and is a proper PID 1.

Exit codes
    0           the worker ended as it should (--test_input done, or RunPod recycles it)
    1           a job given by --test_input failed, or the SDK gave up
    2           wrong arguments, or an unusable launch.json
    70          the web UI ended, or could not be started
    71          the web UI made no image within ready_timeout_s
    128 + N     the container was stopped by signal N: 143 for SIGTERM, 130 for SIGINT;
                or the worker was killed by signal N, as 137 when memory ran out
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from arguments import check_arguments
from launch import Launch, LaunchError, load_launch, make_folders
from log import STARTED, STARTED_VARIABLE, say

BAD_USE = 2
WEBUI_ENDED = 70

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# How long the worker may live on without its web UI, in seconds: enough to report the job in
# hand as failed, little enough that the container is gone within 2 s.
WORKER_GRACE_S = 1.0
# How long to wait for killed processes to be gone; one that hangs in a driver never is.
KILL_GRACE_S = 0.5
# How long the dynamic linker may take, in seconds: an image that is still being pulled is slow.
LINKING_S = 10.0
C_LIBRARY = "libc.so.6"

Signals = SimpleQueue[int]
"""The signals received and not yet looked at."""


@dataclass(frozen=True)
class Child:
    """A process of ours, leading a session and process group of its own."""

    name: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Ended:
    """A child that is no more; `code` is negative for the signal that killed it."""

    child: Child
    code: int


def main() -> int:
    """Run the container and return its exit code."""
    signals: Signals = SimpleQueue()
    # The kernel drops signals to PID 1 that have no handler: install them first of all.
    for number in (signal.SIGCHLD, *STOP_SIGNALS):
        signal.signal(number, lambda received, _frame: signals.put(received))
    check_arguments(sys.argv[1:], os.environ)
    try:
        launch = load_launch(os.environ)
        make_folders(launch)
    except LaunchError as error:
        say("cannot start", str(error))
        return BAD_USE
    return supervise(launch, sys.argv[1:], signals)


def supervise(launch: Launch, argv: Sequence[str], signals: Signals) -> int:
    """Start both children, wait for the end of one or a signal, end the rest; return the code."""
    webui = start(
        "web UI", [launch.python, *launch.argv], launch.cwd, webui_environment(launch, os.environ)
    )
    if webui is None:
        return WEBUI_ENDED
    worker = start(
        "worker",
        [sys.executable, str(Path(__file__).with_name("serve.py")), *argv],
        None,
        {**os.environ, STARTED_VARIABLE: repr(STARTED)},
    )
    if worker is None:
        stop([webui], signals, launch.stop_timeout_s)
        return 1
    report_preload(launch.preload, webui.process.pid, signals)
    children = [webui, worker]
    while True:
        received = signals.get()
        if received in STOP_SIGNALS:
            say(f"{signal.Signals(received).name} received")
            stop(children, signals, launch.stop_timeout_s)
            return 128 + received
        ended = {each.child.name: each.code for each in reap(children)}
        if "web UI" in ended:
            say(
                f"ending with exit code {WEBUI_ENDED}",
                "the web UI's own output is above; when signal 9 ended it, memory may have run out",
            )
            stop(children, signals, WORKER_GRACE_S)
            return WEBUI_ENDED
        if "worker" in ended:
            stop(children, signals, launch.stop_timeout_s)
            code = ended["worker"]
            return code if code >= 0 else 128 - code


def webui_environment(launch: Launch, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the web UI's environment: the container's, launch.env, and the preload."""
    merged = {**environ, **launch.env}
    preload = [*launch.preload, *merged.get("LD_PRELOAD", "").split()]
    return {**merged, "LD_PRELOAD": ":".join(preload)} if preload else merged


def start(name: str, command: list[str], cwd: str | None, env: dict[str, str]) -> Child | None:
    """Start a child whose output goes where ours goes; None, and a message, if that fails."""
    try:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        say(f"{name} cannot be started", f"{error.strerror}: {error.filename}; rebuild the image")
        return None
    say(f"{name} started as process {process.pid}")
    return Child(name, process)


def report_preload(libraries: Sequence[str], pid: int, signals: Signals) -> None:
    """Say which libraries the dynamic linker really mapped: it goes on without a missing one.

    It maps the preloaded libraries first (ld.so(8)), so what is not there when the C library is
    will never be. A signal ends the wait, because the process may be gone.
    """
    deadline = time.monotonic() + LINKING_S
    while libraries and signals.empty() and time.monotonic() < deadline:
        mapped = _mapped_files(pid)
        if not _is_among(C_LIBRARY, mapped):
            time.sleep(0.005)
            continue
        for library in libraries:
            if _is_among(library, mapped):
                say(f"{library} preloaded into the web UI")
            else:
                say(
                    f"{library} is not preloaded into the web UI",
                    "its memory may grow from job to job; install the library into the image",
                )
        return


def _is_among(library: str, files: Iterable[str]) -> bool:
    """Whether a soname is mapped: as itself or as the longer file name that its link leads to."""
    name = Path(library).name
    return any(file == name or file.startswith(f"{name}.") for file in files)


def _mapped_files(pid: int) -> set[str]:
    """Return the names of the files mapped into a process; none when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    return {Path(fields[5]).name for line in lines if len(fields := line.split(maxsplit=5)) == 6}


def reap(children: Sequence[Child]) -> list[Ended]:
    """Collect all processes that have ended, orphans among them, and return the children's ends."""
    ours = {child.process.pid: child for child in children}
    ended: list[Ended] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid in ours:
            code = os.waitstatus_to_exitcode(status)
            ours[pid].process.returncode = code  # subprocess must not wait for it any more
            say(f"{ours[pid].name} ended {_manner(code)}")
            ended.append(Ended(ours[pid], code))


def _manner(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    return f"by signal {-code} ({signal.strsignal(-code)})"


def stop(children: Sequence[Child], signals: Signals, timeout_s: float) -> None:
    """End the children and all that they started: SIGTERM, and SIGKILL after `timeout_s`."""
    _signal_groups(children, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while _living(children) and _wait(signals, deadline):
        if any(each.child.name == "web UI" for each in reap(children)):
            deadline = min(deadline, time.monotonic() + WORKER_GRACE_S)
    for child in _living(children):
        say(f"{child.name} did not end on SIGTERM and is killed")
    # The leaders' own children too, which may have outlived them.
    _signal_groups(children, signal.SIGKILL)
    deadline = time.monotonic() + KILL_GRACE_S
    while _living(children) and _wait(signals, deadline):
        reap(children)


def _living(children: Sequence[Child]) -> list[Child]:
    return [child for child in children if child.process.returncode is None]


def _wait(signals: Signals, deadline: float) -> bool:
    """Wait for any signal until `deadline`, a time.monotonic(); False if there was none."""
    try:
        signals.get(timeout=max(0.0, deadline - time.monotonic()))
    except Empty:
        return False
    return True


def _signal_groups(children: Sequence[Child], number: int) -> None:
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, number)


if __name__ == "__main__":
    sys.exit(main())
