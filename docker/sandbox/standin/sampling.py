"""Makes pictures: prompts to conditioning, noise to latents, latents to pixels."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import torch

from standin.loading import Networks
from standin.orders import Batch, Pixels
from standin.samplers import settings

# Tokens of a prompt that the text encoder sees at once, without the start and end tokens.
CHUNK = 75
# Pixels per latent, in each direction.
FACTOR = 8


class NansException(Exception):
    """A network returned nothing but NaN."""


def check(tensor: torch.Tensor, networks: Networks, where: str) -> torch.Tensor:
    """The tensor, unless it is all NaN."""
    if networks.check_for_nans and bool(torch.isnan(tensor).all()):
        raise NansException(f"A tensor with all NaNs was produced in {where}.")
    return tensor


def chunks(networks: Networks, prompt: str) -> list[list[int]]:
    """The tokens of a prompt in pieces of 75, each with start and end, padded with ends to 77."""
    tokenizer = networks.tokenizer
    tokens = tokenizer(prompt, truncation=False, add_special_tokens=False)["input_ids"]
    pieces = [tokens[at : at + CHUNK] for at in range(0, max(len(tokens), 1), CHUNK)]
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    return [[start, *piece, *[end] * (CHUNK + 1 - len(piece))] for piece in pieces]


def encode(networks: Networks, prompts: tuple[str, ...], clip_skip: int) -> torch.Tensor:
    """Conditioning of shape (prompts, 77 x chunks, width); short prompts get empty chunks."""
    pieces = [chunks(networks, prompt) for prompt in prompts]
    longest = max(map(len, pieces))
    empty = chunks(networks, "")
    padded = [found + empty * (longest - len(found)) for found in pieces]
    parts = []
    for column in range(longest):
        tokens = torch.tensor([found[column] for found in padded], device=networks.device)
        output = networks.text_encoder(tokens, output_hidden_states=clip_skip > 1)
        if clip_skip > 1:
            hidden = output.hidden_states[-clip_skip]
            parts.append(networks.text_encoder.text_model.final_layer_norm(hidden))
        else:
            parts.append(output.last_hidden_state)
    return torch.cat(parts, dim=1)


def make_scheduler(networks: Networks, batch: Batch) -> Any:
    """The diffusers scheduler of the batch's sampler, with the checkpoint's own noise schedule."""
    kept = networks.alphas_cumprod.numpy()
    betas = 1 - kept / np.concatenate([[1.0], kept[:-1]])
    scheduler = getattr(diffusers, batch.sampler.scheduler)(
        num_train_timesteps=len(betas),
        trained_betas=betas,
        **settings(batch.sampler, batch.schedule, batch.steps),
    )
    scheduler.set_timesteps(batch.steps, device=networks.device)
    return scheduler


def random_latents(batch: Batch, generators: list[torch.Generator]) -> torch.Tensor:
    """Normal latents of shape (seeds, 4, height / 8, width / 8), each from its own seed."""
    shape = (4, batch.height // FACTOR, batch.width // FACTOR)
    return torch.stack([torch.randn(shape, generator=own, device=own.device) for own in generators])


def encode_pictures(networks: Networks, pictures: Pixels) -> torch.Tensor:
    """Pictures (number, height, width, 3) to latents, by the mean of the VAE's distribution."""
    dtype = next(networks.vae.parameters()).dtype
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(networks.device, dtype) / 127.5 - 1
    latents = [networks.vae.encode(one.unsqueeze(0)).latent_dist.mode() for one in scaled]
    return torch.cat(latents).float() * networks.latent_scale


def starting_point(
    networks: Networks, batch: Batch, scheduler: Any, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The latents to begin with, and the timesteps that are left to run."""
    if batch.pictures is None:
        return noise * scheduler.init_noise_sigma, scheduler.timesteps
    # As the web UI counts: at least one step, and never the whole schedule.
    encoded = int(min(batch.denoising_strength, 0.999) * batch.steps)
    begin = (batch.steps - encoded - 1) * scheduler.order
    left = scheduler.timesteps[begin:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    latents = encode_pictures(networks, batch.pictures)
    return scheduler.add_noise(latents, noise, left[:1]), left


def sample(networks: Networks, batch: Batch, go_on: Callable[[int], bool]) -> torch.Tensor:
    """Latents of shape (seeds, 4, height / 8, width / 8), with classifier-free guidance.

    `go_on` is asked before each step, with the number of steps done; when it says no, the latents
    are returned as they are.
    """
    if batch.steps < 1:
        raise ValueError(f"steps must be at least 1, not {batch.steps}")
    if min(batch.width, batch.height) < FACTOR:
        raise ValueError(f"the smallest size is 8x8, not {batch.width}x{batch.height}")
    with torch.inference_mode():
        generators = [torch.Generator(networks.device).manual_seed(seed) for seed in batch.seeds]
        noise = random_latents(batch, generators)
        scheduler = make_scheduler(networks, batch)
        latents, timesteps = starting_point(networks, batch, scheduler, noise)
        takes = inspect.signature(scheduler.step).parameters
        extra = {"generator": generators} if "generator" in takes else {}
        conditioning = encode(networks, (batch.prompt, batch.negative_prompt), batch.clip_skip)
        conditioning = conditioning.repeat_interleave(len(batch.seeds), dim=0)
        dtype = next(networks.unet.parameters()).dtype
        for index, time in enumerate(timesteps):
            if not go_on(math.floor(index * batch.steps / len(timesteps))):
                break
            inputs = scheduler.scale_model_input(torch.cat([latents, latents]), time)
            output = networks.unet(inputs.to(dtype), time, conditioning.to(dtype)).sample.float()
            positive, negative = check(output, networks, "Unet").chunk(2)
            guided = negative + batch.cfg_scale * (positive - negative)
            latents = scheduler.step(guided, time, latents, **extra).prev_sample
        return latents


def decode(networks: Networks, latents: torch.Tensor) -> list[Pixels]:
    """Pictures of shape (height, width, 3), 8 bits per colour."""
    dtype = next(networks.vae.parameters()).dtype
    pictures = []
    with torch.inference_mode():
        for one in latents / networks.latent_scale:
            decoded = check(networks.vae.decode(one.unsqueeze(0).to(dtype)).sample, networks, "VAE")
            scaled = (decoded[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 0)
            pictures.append((255 * scaled.cpu().numpy()).astype(np.uint8))
    return pictures
