"""What every suite is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import docker

from scripts.bench.probe.attn_plan import Choice
from scripts.bench.schema import Case, Ceilings, Comparison

RawRecord = dict[str, Any]
"""One line that the probe wrote; its key `record` says what kind."""

ShapeOf = Callable[[RawRecord], str | None]
"""The key of the shape that a record belongs to, as the probe's `--skip` takes it."""


class Sink(Protocol):
    """Where records go as they come: a list, or what also writes them down."""

    def append(self, record: RawRecord, /) -> None:
        """Take one record."""


@dataclass(frozen=True)
class Settings:
    """How a suite is run; `rounds` is the least number, `budget_s` is in seconds.

    With `exact` it is the budget whatever is measured; else that of the suite's default. `choice`
    is of the suites attn, unet and vae; of the suite image its size alone counts. `packages`
    is a folder of what the probe imports beside the image's own packages, `skip` are the keys of
    shapes that were measured before the run was continued.
    """

    seed: int
    rounds: int
    budget_s: float
    packages: Path | None = None
    exact: bool = False
    choice: Choice = field(default_factory=Choice)
    skip: tuple[str, ...] = ()


@dataclass
class Measured:
    """What the records of a suite come to; `disagreements` are cases that float64 contradicts."""

    header: RawRecord | None = None
    cases: list[Case] = field(default_factory=list)
    compare: list[Comparison] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    ceilings: list[Ceilings] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Suite(NamedTuple):
    """How a suite is run on an image, and how its records become results.

    `run` puts the records into the sink as they come, so that whatever stops it loses nothing;
    `evaluate` takes them with the seed; `shape_of` tells which shape a record belongs to.
    """

    run: Callable[[docker.DockerClient, str, Settings, Sink], None]
    evaluate: Callable[[list[RawRecord], int], Measured]
    shape_of: ShapeOf
