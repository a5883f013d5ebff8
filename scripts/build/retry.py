"""What is sent to a registry, sent again when it was dropped on the way."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

from scripts.workspace.cli import say
from scripts.workspace.errors import Failure

T = TypeVar("T")

# Seconds before each further attempt. BuildKit and the engine try parts of a push again themselves.
PAUSES_S = (1.0, 2.0, 4.0)
# How a connection or a registry that may recover is spoken of by Go's libraries.
PASSING = re.compile(
    r"\bEOF\b|connection reset|connection refused|broken pipe|timeout|timed out|TLS handshake"
    r"|closed network connection|server closed|unexpected status.* (429|5\d\d)|toomanyrequests"
    r"|short (read|copy|write)|transport connection broken",
    re.IGNORECASE,
)


class Dropped(Failure):
    """A registry dropped what was sent to it: the next attempt may pass."""


def failure(said: str, *, hint: str = "") -> Failure:
    """Return what a message on a push that ended means: worth another attempt, or not."""
    return (Dropped if PASSING.search(said) else Failure)(said, hint=hint)


def patiently(push: Callable[[], T], registries: str) -> T:
    """Return what `push` returns, called again after growing pauses while it raises Dropped.

    Raises Failure, naming the `registries`, when it is dropped each time.
    """
    for pause in PAUSES_S:
        try:
            return push()
        except Dropped as dropped:
            say(f"{registries} dropped the push; trying again in {pause:.0f} s: {dropped.message}")
            time.sleep(pause)
    try:
        return push()
    except Dropped as dropped:
        raise Failure(
            f"{registries} dropped the push {len(PAUSES_S) + 1} times, the last time with:\n"
            f"  {dropped.message}",
            hint="The image is built, and what the registry has is kept: when it answers again, "
            "the same command goes on from there.",
        ) from None
