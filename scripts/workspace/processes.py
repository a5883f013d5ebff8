"""Programs that run side by side and none of which outlives the command that started them."""

import subprocess
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

from scripts.workspace.paths import ROOT

Done = subprocess.CompletedProcess[str]


class Processes:
    """Runs programs from the root of the workspace, at most `places` at a time.

    As a context manager it kills what still runs when the block is left, however that happens.
    """

    def __init__(self, places: int) -> None:
        """Start with none."""
        self._places = threading.Semaphore(places)
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def __enter__(self) -> "Processes":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill what still runs; what waits for a place ends at once."""
        self._stopped = True
        for process in list(self._running):
            process.kill()

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Done:
        """Return what the program printed and its exit code, which is -9 once all was stopped."""
        with self._places:
            if self._stopped:
                return Done(command, -9, "", "stopped")
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self._running.add(process)
            try:
                output, said = process.communicate()
            finally:
                self._running.discard(process)
        return Done(command, process.returncode, output, said)
