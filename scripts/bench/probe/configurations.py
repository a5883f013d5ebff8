"""The networks of Stable Diffusion 1.5 and SDXL as published, and smaller ones made from them.

The figures are those of unet/config.json and vae/config.json in the repositories that `source`
names on Hugging Face, in diffusers' words; the numbers of parameters are those of the weights
published there. What a file leaves to diffusers' defaults is left to them here, too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Configuration = Mapping[str, Any]


@dataclass(frozen=True)
class Published:
    """A model: `side` is the width and height of its images in pixels."""

    name: str
    source: str
    side: int
    unet: Configuration
    unet_parameters: int
    vae: Configuration
    vae_parameters: int


_VAE: Configuration = {
    "act_fn": "silu",
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 3,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}

SD15 = Published(
    name="sd15",
    source="stable-diffusion-v1-5/stable-diffusion-v1-5",
    side=512,
    unet={
        "act_fn": "silu",
        # The number of heads: diffusers' name for it is an old mistake that its files keep.
        "attention_head_dim": 8,
        "block_out_channels": (320, 640, 1280, 1280),
        "center_input_sample": False,
        "cross_attention_dim": 768,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 2,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-5,
        "norm_num_groups": 32,
        "out_channels": 4,
        "sample_size": 64,
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    },
    unet_parameters=859_520_964,
    vae={**_VAE, "sample_size": 512},
    vae_parameters=83_653_863,
)

SDXL = Published(
    name="sdxl",
    source="stabilityai/stable-diffusion-xl-base-1.0",
    side=1024,
    unet={
        "act_fn": "silu",
        "addition_embed_type": "text_time",
        "addition_embed_type_num_heads": 64,
        "addition_time_embed_dim": 256,
        "attention_head_dim": (5, 10, 20),
        "block_out_channels": (320, 640, 1280),
        "center_input_sample": False,
        "cross_attention_dim": 2048,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 2,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-5,
        "norm_num_groups": 32,
        "out_channels": 4,
        "projection_class_embeddings_input_dim": 2816,
        "sample_size": 128,
        "transformer_layers_per_block": (1, 2, 10),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "use_linear_projection": True,
    },
    unet_parameters=2_567_463_684,
    vae={**_VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
    vae_parameters=83_653_863,
)


def narrowed(configuration: Configuration, divisor: int) -> Configuration:
    """The same network with 1/`divisor` of the channels and, in a UNet, of the heads.

    Layers, tokens and a UNet's head_dim stay; the one head of a VAE is as wide as its channels.
    Raises ValueError where channels or heads cannot be divided so.
    """
    channels = _divided(configuration["block_out_channels"], divisor)
    changed: dict[str, Any] = {
        "block_out_channels": channels,
        "norm_num_groups": math.gcd(configuration["norm_num_groups"], *channels),
    }
    heads = configuration.get("attention_head_dim")
    if isinstance(heads, tuple):
        changed["attention_head_dim"] = _divided(heads, divisor)
    elif heads is not None:
        (changed["attention_head_dim"],) = _divided((heads,), divisor)
    return {**configuration, **changed}


def _divided(values: tuple[int, ...], divisor: int) -> tuple[int, ...]:
    if any(value % divisor for value in values):
        raise ValueError(f"{values} cannot be divided by {divisor}")
    return tuple(value // divisor for value in values)
