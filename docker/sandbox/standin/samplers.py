"""The web UI's sampler names that the stand-in knows, and the diffusers scheduler for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The web UI spaces k-diffusion's steps evenly from the last training step to the first.
LINEAR = {"timestep_spacing": "linspace"}


@dataclass(frozen=True)
class Sampler:
    """A sampler: the name and aliases of the web UI, the diffusers class and its settings."""

    name: str
    scheduler: str
    aliases: tuple[str, ...]
    settings: Mapping[str, object] = field(default_factory=dict)
    # Whether the scheduler can space its noise levels after Karras et al. (2022).
    karras: bool = False
    karras_by_default: bool = False


SAMPLERS = (
    Sampler(
        "DPM++ 2M",
        "DPMSolverMultistepScheduler",
        ("k_dpmpp_2m",),
        LINEAR,
        karras=True,
        karras_by_default=True,
    ),
    Sampler(
        "Euler a", "EulerAncestralDiscreteScheduler", ("k_euler_a", "k_euler_ancestral"), LINEAR
    ),
    Sampler("Euler", "EulerDiscreteScheduler", ("k_euler",), LINEAR, karras=True),
    Sampler("LMS", "LMSDiscreteScheduler", ("k_lms",), LINEAR, karras=True),
    Sampler("Heun", "HeunDiscreteScheduler", ("k_heun",), LINEAR, karras=True),
    Sampler(
        "DPM2", "KDPM2DiscreteScheduler", ("k_dpm_2",), LINEAR, karras=True, karras_by_default=True
    ),
    Sampler(
        "DPM2 a",
        "KDPM2AncestralDiscreteScheduler",
        ("k_dpm_2_a",),
        LINEAR,
        karras=True,
        karras_by_default=True,
    ),
    Sampler(
        "DDIM",
        "DDIMScheduler",
        ("ddim",),
        {"steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False},
    ),
    Sampler("PLMS", "PNDMScheduler", ("plms",), {"steps_offset": 1, "skip_prk_steps": True}),
    Sampler("UniPC", "UniPCMultistepScheduler", ("unipc",), LINEAR),
)
BY_NAME = {sampler.name: sampler for sampler in SAMPLERS}


def settings(sampler: Sampler, schedule: str | None, steps: int) -> dict[str, object]:
    """The scheduler's keyword arguments for a schedule type of the web UI and a number of steps.

    No type, `Automatic`, and a type that the sampler cannot have leave the sampler's default.
    """
    karras = sampler.karras_by_default
    if schedule is not None and schedule.lower() in ("karras", "uniform"):
        karras = schedule.lower() == "karras"
    chosen = dict(sampler.settings)
    if steps == 1 and sampler.settings is LINEAR:
        # A single step starts from noise; diffusers' even spacing would start from the other end.
        chosen["timestep_spacing"] = "trailing"
    if sampler.karras:
        chosen["use_karras_sigmas"] = karras
    return chosen
