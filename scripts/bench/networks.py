"""Suites `unet` and `vae`: run the probe on whole networks and turn its records into cases."""

from collections.abc import Iterable

import docker

from scripts.bench import cases, choosing, probing
from scripts.bench.probe.attn_plan import Choice
from scripts.bench.probe.workloads import (
    KNOWN,
    REFERENCE,
    SuiteName,
    is_known,
    known_names,
    most_seconds,
)
from scripts.bench.probing import Probe
from scripts.bench.suite import Measured, RawRecord, Settings, Sink
from scripts.workspace.errors import BadInput
from scripts.workspace.model import offer


def checked(suite: SuiteName, choice: Choice) -> Choice:
    """Return the choice. Raises BadInput for a network, backend or type that is not known."""
    choosing.require(suite, choice, dict.fromkeys((*KNOWN[suite], "sdp")))
    for pattern in choice.shapes:
        if not is_known(suite, pattern):
            every = known_names(suite)
            usual = tuple(name for name in every if name.count("-") == 1)
            prompts = ", -t154 and -t231 (prompts)" if suite == "unet" else ""
            raise BadInput(
                f"{suite} has no shape {pattern!r}.{offer(pattern, usual, every)}",
                hint=f"Also with -x2 to -x16 (images){prompts}; * and ? stand for any.",
            )
    return choice


def run(
    suite: SuiteName,
    client: docker.DockerClient,
    image: str,
    settings: Settings,
    into: Sink,
) -> None:
    """Measure in the image; put the probe's records into `into` as they come.

    Raises Failure where the probe ended by itself before it was done.
    """
    measure(suite, probing.in_image(client, image, settings.packages), settings, into)


def measure(suite: SuiteName, probe: Probe, settings: Settings, into: Sink) -> None:
    """Measure wherever `probe` runs. Raises Failure where it ended before it was done."""
    most = settings.budget_s
    if not settings.exact:
        most = most_seconds(suite, settings.choice, settings.budget_s)
    probing.collect(probe, arguments(suite, settings), most, into)


def arguments(suite: SuiteName, settings: Settings) -> list[str]:
    """Return what the probe is told."""
    return choosing.told(suite, settings)


def evaluate(suite: SuiteName, records: Iterable[RawRecord], seed: int) -> Measured:
    """Cases and comparisons from the probe's records, also from those of a run cut short."""
    return cases.evaluate(suite, REFERENCE[suite], records, seed)
