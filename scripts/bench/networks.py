"""Suites `unet` and `vae`: run the probe on whole networks and turn its records into cases."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import docker

from scripts.bench import cases, container
from scripts.bench.suite import Measured, RawRecord, Settings
from scripts.workspace.errors import Failure

SuiteName = Literal["unet", "vae"]
Probe = Callable[[Sequence[str], float, dict[str, int]], Iterator[RawRecord]]
"""Runs the probe with arguments for so many seconds at most, and tells its exit code."""

REFERENCE: Mapping[SuiteName, str] = {"unet": "sdp", "vae": "sdp-3d"}
# The container's start, the imports, and what was begun when the time was over.
GRACE_S = 300.0


def run(
    suite: SuiteName,
    client: docker.DockerClient,
    image: str,
    settings: Settings,
    into: list[RawRecord],
) -> None:
    """Measure in the image; put the probe's records into `into` as they come.

    Raises Failure where the probe ended by itself before it was done.
    """

    def probe(
        arguments: Sequence[str], limit_s: float, code: dict[str, int]
    ) -> Iterator[RawRecord]:
        command = [container.PYTHON, "-m", "probe", *arguments]
        with container.created(client, image, command=command, packages=settings.packages) as made:
            yield from container.run_probe(made, limit_s, code)

    measure(suite, probe, settings, into)


def measure(suite: SuiteName, probe: Probe, settings: Settings, into: list[RawRecord]) -> None:
    """Run the probe wherever `probe` does. Raises Failure where it ended before it was done."""
    arguments = [suite, "--seed", str(settings.seed), "--rounds", str(settings.rounds)]
    arguments += ["--budget", str(settings.budget_s)]
    arguments += ["--quick"] if settings.quick else []
    code: dict[str, int] = {}
    for record in probe(arguments, settings.budget_s + GRACE_S, code):
        into.append(record)
    if code["exit"] != 0 or not into or into[-1]["record"] != "final":
        memory = " (137 is a kill, most often for lack of memory)" if code["exit"] == 137 else ""
        raise Failure(
            f"suite {suite} ended early: its probe exited with {code['exit']}{memory}.",
            hint="What it had measured is kept; its messages are above.",
        )


def evaluate(suite: SuiteName, records: Iterable[RawRecord], seed: int) -> Measured:
    """Cases and comparisons from the probe's records, also from those of a run cut short."""
    return cases.evaluate(suite, REFERENCE[suite], records, seed)
