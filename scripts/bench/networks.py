"""Suites `unet` and `vae`: run the probe on whole networks in a container."""

from collections.abc import Iterable, Mapping
from typing import Literal

import docker

from scripts.bench import cases, container
from scripts.bench.suite import Measured, RawRecord, Settings
from scripts.workspace.errors import Failure

SuiteName = Literal["unet", "vae"]

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
    """Put the probe's records into `into` as they come.

    Raises Failure where the probe ended by itself before it was done.
    """
    command = [container.PYTHON, "-m", "probe", suite, "--seed", str(settings.seed)]
    command += ["--rounds", str(settings.rounds), "--budget", str(settings.budget_s)]
    command += ["--quick"] if settings.quick else []
    code: dict[str, int] = {}
    with container.created(client, image, command=command, packages=settings.packages) as made:
        for record in container.run_probe(made, settings.budget_s + GRACE_S, code):
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
