"""What a request asks for, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from standin.samplers import Sampler

# Eight bits per colour.
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Batch:
    """Pictures that are sampled together: one per seed, all with the same prompts."""

    prompt: str
    negative_prompt: str
    seeds: tuple[int, ...]
    sampler: Sampler
    schedule: str | None
    steps: int
    cfg_scale: float
    width: int
    height: int
    clip_skip: int
    # For img2img: of shape (seeds, height, width, 3), and how much of the schedule to run.
    pictures: Pixels | None = None
    denoising_strength: float = 1.0


@dataclass(frozen=True)
class Order:
    """What a request asks for: batches of pictures, and settings that hold for them alone."""

    name: str
    batch: Batch
    batch_size: int
    batches: int
    seed: int
    subseed: int
    settings: dict[str, object]
    restore_settings: bool
    denoising_strength: float | None


@dataclass(frozen=True)
class Picture:
    """A finished picture of shape (height, width, 3) and the parameters written into it."""

    pixels: Pixels
    infotext: str
