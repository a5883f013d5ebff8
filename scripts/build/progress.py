"""BuildKit's progress events: folded into steps, and shown while they come.

buildx writes its progress in one form at a time. The record needs the machine-readable one, so the
lines for people are made here from the same events.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import Any, Literal

from rich.console import Console
from rich.live import Live
from rich.text import Text

State = Literal["waiting", "running", "done", "cached", "failed"]
# As docker/tools/install/install-packages says it: BuildKit counts what it pulls, and not what a
# command downloads.
DOWNLOADED = re.compile(r"^downloaded (\d+) bytes$", re.MULTILINE)


@dataclass
class Step:
    """One vertex of the build: its name as BuildKit gives it, and how far it is.

    `queued` is when it was announced, by the clock of this machine; the other times are the
    builder's. `output` is all that its command printed, `transfers` the bytes of each image layer
    or folder that was brought for it.
    """

    name: str
    queued: datetime | None = None
    started: datetime | None = None
    completed: datetime | None = None
    cached: bool = False
    error: str = ""
    output: str = ""
    transfers: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """Where the step is between waiting and its end."""
        if self.error:
            return "failed"
        if self.cached:
            return "cached"
        if self.completed:
            return "done"
        return "running" if self.started else "waiting"

    def seconds(self, now: datetime | None = None) -> float:
        """Return how long the step ran, in seconds; up to `now` when it still runs."""
        end = self.completed or now
        return (end - self.started).total_seconds() if self.started and end else 0.0

    @property
    def received(self) -> int | None:
        """Bytes that were pulled, sent or downloaded for this step; None when nothing tells."""
        said = [int(number) for number in DOWNLOADED.findall(self.output)]
        return sum([*self.transfers.values(), *said]) if self.transfers or said else None

    def tail(self, lines: int) -> list[str]:
        """Return the last lines of the output, without empty ones."""
        return [line for line in self.output.splitlines() if line.strip()][-lines:]

    @property
    def is_work(self) -> bool:
        """Whether this is a step of a stage, not a transfer or BuildKit's own housekeeping."""
        return is_work(self.name)

    @property
    def stage(self) -> str:
        """The stage of the Dockerfile that it belongs to; '' for none."""
        found = re.match(r"\[(\S+) +\d+/\d+\]", self.name)
        return found[1] if found else ""

    @property
    def title(self) -> str:
        """The name on one line, without mounts: what is done, not with what."""
        return " ".join(word for word in self.name.split() if not word.startswith("--mount="))


def is_work(name: str) -> bool:
    """Whether a step of this name is one of a stage, not a transfer or BuildKit's housekeeping."""
    return bool(re.match(r"\[([^]]+ )?\d+/\d+\] (?!LINK)", name))


class Steps:
    """All steps of a build by digest, in the order in which BuildKit announced them."""

    def __init__(self) -> None:
        """Start without any."""
        self.by_digest: dict[str, Step] = {}
        self.other: list[str] = []

    def feed(self, event: dict[str, Any] | str) -> list[Step]:
        """Take one event (see `events`); return the steps that it brought to an end.

        A message of buildx itself is kept in `other`.
        """
        if isinstance(event, str):
            self.other.append(event)
            return []
        ended = [step for each in event.get("vertexes") or () if (step := self._vertex(each))]
        for each in event.get("logs") or ():
            step = self.by_digest.get(each["vertex"])
            if step is not None:
                step.output += base64.b64decode(each.get("data") or "").decode(errors="replace")
        for each in event.get("statuses") or ():
            step = self.by_digest.get(each["vertex"])
            if step is not None and each["id"].startswith(("sha256:", "transferring ")):
                step.transfers[each["id"]] = each["current"]
        return ended

    def _vertex(self, vertex: dict[str, Any]) -> Step | None:
        announced = Step(vertex.get("name", ""), queued=datetime.now(timezone.utc))
        step = self.by_digest.setdefault(vertex["digest"], announced)
        before = step.state
        step.started = _time(vertex.get("started")) or step.started
        step.completed = _time(vertex.get("completed")) or step.completed
        step.cached = step.cached or bool(vertex.get("cached"))
        step.error = vertex.get("error") or step.error
        ended = step.completed is not None and step.state != before
        return step if ended else None

    def __iter__(self) -> Iterator[Step]:
        """Iterate over the steps in order."""
        return iter(self.by_digest.values())

    def failed(self) -> Step | None:
        """Return the step that failed by itself, not because it was cancelled."""
        # A cache that is not there yet, or not reached, is no failure: all is built then.
        failures = [
            step for step in self if step.error and not step.name.startswith("importing cache")
        ]
        own = [step for step in failures if "context canceled" not in step.error]
        return next(iter(own or failures), None)


def events(lines: Iterable[str]) -> Iterator[dict[str, Any] | str]:
    """Yield what `--progress=rawjson` writes: events, and the messages of buildx between them.

    An event is one line of JSON, or (buildx 0.13) several, from a lone `{` to a lone `}`.
    """
    buffer: list[str] = []
    for line in lines:
        text = line.rstrip("\n")
        if buffer or text == "{":
            buffer.append(text)
            if text == "}":
                yield from _events_of("\n".join(buffer))
                buffer = []
        elif text.strip():
            yield from _events_of(text)
    if buffer:
        yield "\n".join(buffer)


def _events_of(text: str) -> Iterator[dict[str, Any] | str]:
    try:
        event = json.loads(text)
    except ValueError:
        event = text
    yield event if isinstance(event, dict) else text


def _time(text: str | None) -> datetime | None:
    # BuildKit gives nanoseconds, Python reads microseconds.
    if not text:
        return None
    head, _, rest = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{(rest or '0')[:6].ljust(6, '0')}+00:00")


def show(lines: Iterable[str], steps: Steps, console: Console) -> None:
    """Feed all lines to `steps`, showing them: live on a terminal, line by line elsewhere."""
    if not console.is_terminal:
        for event in events(lines):
            for step in filter(_worth_a_line, steps.feed(event)):
                console.print(_line(step), highlight=False, soft_wrap=True)
        return
    # Drawn anew four times a second: a long step is seen to run also while BuildKit says nothing.
    running = partial(_running, steps, console.width)
    with Live(get_renderable=running, console=console, transient=True) as live:
        for event in events(lines):
            for step in filter(_worth_a_line, steps.feed(event)):
                live.console.print(_line(step), highlight=False, soft_wrap=True)


def _worth_a_line(step: Step) -> bool:
    return step.is_work or step.state == "failed" or step.seconds() > 1


def _line(step: Step) -> Text:
    style = {"cached": "dim", "failed": "bold red"}.get(step.state, "")
    ending = step.state if step.state in ("cached", "failed") else f"{step.seconds():.1f} s"
    return Text(f"{ending:>9}  {step.title}", style=style)


def _running(steps: Steps, width: int) -> Text:
    now = datetime.now().astimezone()
    lines = []
    for step in list(steps):
        if step.state == "running":
            lines.append(f"{step.seconds(now):>7.0f} s  {step.title}"[: width - 1])
            lines += [f"           {line}"[: width - 1] for line in step.tail(1)]
    return Text("\n".join(lines[-16:]), style="cyan")
