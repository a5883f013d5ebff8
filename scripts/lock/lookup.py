"""How pins are looked up: which of them, side by side, with patience, and never for long."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
Table = dict[str, Any]

# Three attempts on a host that swallows everything, and the pauses between, take 25.5 s.
ATTEMPTS = 3
TIMEOUT_S = 8.0  # to connect, and then for each answer
BACK_OFF_S = 0.5
# For one look-up in all. TIMEOUT_S counts anew for each address of a host, and name resolution
# has limits of its own.
LIMIT_S = 28.0


@dataclass(frozen=True)
class LookUp:
    """Which pins are looked up though they are there, and whether an answer is demanded.

    `names` are the names of images, sources and models, and `debian`; None means all of them.
    Without `replace`, a model that has other bytes than are pinned is refused.
    """

    names: frozenset[str] | None = frozenset()
    required: bool = False
    replace: bool = True

    def wants(self, name: str) -> bool:
        """Whether the pin of that name is to be looked up."""
        return self.names is None or name in self.names

    def replaces(self, name: str) -> bool:
        """Whether the model of that name may have other bytes than are pinned."""
        return self.replace and self.wants(name)


ONLY_MISSING = LookUp()


@dataclass(frozen=True)
class Found:
    """What a look-up gives: the pin, and sentences on what was seen beside it."""

    pin: Table
    notes: tuple[str, ...] = ()


class NotFound(Exception):
    """An answer: what is asked for is not there. The text ends without a full stop."""


class Unreachable(Exception):
    """No answer, or none that can be used; says why. The text ends without a full stop."""


class Transient(Unreachable):
    """No answer this time; after `wait_s` seconds there may be one."""

    def __init__(self, reason: str, wait_s: float = 0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def patiently(ask: Callable[[], T]) -> T:
    """Return the answer, asking again after a pause that doubles when there was none.

    Raises Unreachable when there is none after ATTEMPTS, or when the server wants a longer pause
    than a person would wait through.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return ask()
        except Transient as failure:
            if failure.wait_s > TIMEOUT_S:
                raise
            time.sleep(max(BACK_OFF_S * 2**attempt, failure.wait_s))
    return ask()


def start(ask: Callable[[], T]) -> "Future[T]":
    """Ask in a thread that the end of the program does not wait for, so that Ctrl-C ends it."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(ask())
        except BaseException as failure:
            future.set_exception(failure)

    Thread(target=work, daemon=True).start()
    return future


def ask_all(
    questions: Mapping[str, Callable[[], T]],
) -> dict[str, T | NotFound | Unreachable]:
    """Ask every question at once; return the answers by the names of the questions."""
    running = {name: start(ask) for name, ask in questions.items()}
    answers: dict[str, T | NotFound | Unreachable] = {}
    for name, future in running.items():
        try:
            answers[name] = future.result()
        except (NotFound, Unreachable) as failure:
            answers[name] = failure
    return answers


def within_limit(ask: Callable[[], T], host: str) -> T:
    """Ask `host` patiently; raises Unreachable when there is no answer within LIMIT_S, too."""
    try:
        return start(lambda: patiently(ask)).result(LIMIT_S)
    except StillRunning:
        raise Unreachable(f"{host} did not answer within {LIMIT_S:.0f} s") from None


def require_answer(status: int, headers: Any, host: str) -> None:
    """Raise Transient for an HTTP status that says `try again` instead of answering."""
    if status == 429 or status >= 500:
        wait = headers.get("retry-after", "")
        seconds = float(wait) if wait.isdecimal() else 0
        asked = f" and asks to wait {wait} s" if seconds else ""
        raise Transient(f"{host} answers {status}{asked}", seconds)


def transport_failure(error: Exception, host: str) -> Unreachable:
    """Return what an exception of httpx2 means: worth another attempt, or not."""
    import httpx2

    said = f"{host} could not be reached: {error or type(error).__name__}"
    # A refused connection and an unknown name stay so; a cut one may be whole the next time.
    cut = httpx2.TimeoutException | httpx2.ReadError | httpx2.RemoteProtocolError
    return Transient(said) if isinstance(error, cut) else Unreachable(said)
