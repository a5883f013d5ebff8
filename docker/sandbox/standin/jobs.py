"""One job at a time, its progress as the web UI reports it, and its interruption."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Jobs:
    """The state that `/sdapi/v1/progress` shows; written by the job, read by other threads."""

    def __init__(self) -> None:
        """No job yet."""
        # Held by a running job, and by whatever must not happen during one.
        self.turn = threading.Lock()
        self.interrupted = False
        self.name = ""
        self.count = 0
        self.number = 0
        self.step = 0
        self.steps = 0
        self.stamp = "0"
        self.started = 0.0

    @contextmanager
    def running(self, name: str, count: int, steps: int) -> Iterator[None]:
        """Wait for the turn, then be the current job of `count` batches of `steps` steps each."""
        with self.turn:
            self.interrupted = False
            self.number, self.step, self.steps = 0, 0, steps
            self.started = time.time()
            self.stamp = time.strftime("%Y%m%d%H%M%S", time.localtime(self.started))
            self.name, self.count = name, count
            try:
                yield
            finally:
                self.name, self.count = "", 0

    def next_batch(self) -> None:
        """One batch is done."""
        self.number += 1
        self.step = 0

    def interrupt(self) -> None:
        """Have the current job stop after the step it is at; without effect on a later one."""
        self.interrupted = True

    def snapshot(self) -> dict[str, object]:
        """The reply to `/sdapi/v1/progress`. There are no previews: `current_image` stays null."""
        count, state = self.count, self.state()
        progress = eta = 0.0
        if count > 0:
            # The hundredth avoids a division by zero at the very start.
            progress = 0.01 + self.number / count
            if self.steps > 0:
                progress += self.step / self.steps / count
            passed = time.time() - self.started
            eta = passed / progress - passed
            progress = min(progress, 1.0)
        return {
            "progress": progress,
            "eta_relative": eta,
            "state": state,
            "current_image": None,
            "textinfo": None,
        }

    def state(self) -> dict[str, object]:
        """The job in the web UI's words."""
        return {
            "skipped": False,
            "interrupted": self.interrupted,
            "stopping_generation": False,
            "job": self.name,
            "job_count": self.count,
            "job_timestamp": self.stamp,
            "job_no": self.number,
            "sampling_step": self.step,
            "sampling_steps": self.steps,
        }
