"""Measuring in turns with another process: a step is taken when a line on stdin allows it.

Without torch. A probe that is paced says with a record `waiting` what it would do next, a `shape`
(checking and warming up its backends) or a `round` of it, and waits. `go` allows that one step,
`end` takes it off: the round that is not wanted ends its shape, the shape that is not wanted the
run. How many rounds there are is then left to the one that writes the lines.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

GO, END = "go", "end"


class Pace:
    """Leave to take the next step."""

    def __init__(self, emit: Callable[[str, Mapping[str, Any]], None]) -> None:
        """`emit` writes the records."""
        self._emit = emit

    def allows(self, step: str) -> bool:
        """Wait until it is decided whether the step is taken.

        Ends the process where nobody is left to decide.
        """
        self._emit("waiting", {"for": step})
        word = sys.stdin.readline().strip()
        if word not in (GO, END):
            raise SystemExit(f"told {word!r}, not {GO} or {END}: nobody paces this run any more")
        return word == GO
