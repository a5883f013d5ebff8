"""Suites `unet` and `vae`: run the probe on whole networks and turn its records into cases."""

from collections.abc import Iterable, Mapping
from typing import Literal

import docker

from scripts.bench import cases, probing
from scripts.bench.probing import Probe
from scripts.bench.suite import Measured, RawRecord, Settings, Sink

SuiteName = Literal["unet", "vae"]

REFERENCE: Mapping[SuiteName, str] = {"unet": "sdp", "vae": "sdp-3d"}


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
    probing.collect(probe, arguments(suite, settings), settings.budget_s, into)


def arguments(suite: SuiteName, settings: Settings) -> list[str]:
    """Return what the probe is told."""
    told = [suite, "--seed", str(settings.seed), "--rounds", str(settings.rounds)]
    told += ["--budget", str(settings.budget_s)]
    told += ["--quick"] if settings.quick else []
    return told + (["--skip", ",".join(settings.skip)] if settings.skip else [])


def evaluate(suite: SuiteName, records: Iterable[RawRecord], seed: int) -> Measured:
    """Cases and comparisons from the probe's records, also from those of a run cut short."""
    return cases.evaluate(suite, REFERENCE[suite], records, seed)
