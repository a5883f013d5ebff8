"""The probe, wherever it runs: in the image, or in a Python of this machine."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

import docker

from scripts.bench import container, host
from scripts.bench.suite import RawRecord, Sink
from scripts.workspace.errors import Failure

Records = Generator[RawRecord, None, None]
Probe = Callable[[Sequence[str], float, dict[str, int]], Records]
"""Runs the probe with arguments for so many seconds at most, and tells its exit code."""

# The container's start, the imports, and what was begun when the time was over.
GRACE_S = 300.0


def in_image(client: docker.DockerClient, image: str, packages: Path | None = None) -> Probe:
    """Return the probe in an image; what lies in `packages` can be imported there, too."""

    def probe(arguments: Sequence[str], limit_s: float, code: dict[str, int]) -> Records:
        command = [container.PYTHON, "-m", "probe", *arguments]
        with container.created(client, image, command=command, packages=packages) as made:
            yield from container.run_probe(made, limit_s, code)

    return probe


def in_host(python: Path) -> Probe:
    """Return the probe in a Python of this machine."""

    def probe(arguments: Sequence[str], limit_s: float, code: dict[str, int]) -> Records:
        return host.run_probe(python, arguments, limit_s, code)

    return probe


def collect(probe: Probe, arguments: Sequence[str], seconds: float, into: Sink) -> None:
    """Run the probe, whose first argument is the suite; put its records into `into` as they come.

    `seconds` are those of its measurements. Raises Failure where it ended before it was done.
    """
    code: dict[str, int] = {}
    last = None
    # Closed at once on Ctrl-C, too: the container or the process ends with the records.
    with closing(probe(arguments, seconds + GRACE_S, code)) as records:
        for record in records:
            into.append(record)
            last = record["record"]
    found = code.get("exit")
    if found != 0 or last != "final":
        killed = " (a kill, most often for lack of memory)" if found in (137, -9) else ""
        raise Failure(
            f"suite {arguments[0]} ended early: its probe exited with {found}{killed}.",
            hint="What it had measured is kept; its messages are above.",
        )
