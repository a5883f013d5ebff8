"""Loads a Stable Diffusion 1.x checkpoint in LDM layout into diffusers and transformers modules."""

from __future__ import annotations

import hashlib
import importlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import yaml
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    create_unet_diffusers_config_from_ldm,
    create_vae_diffusers_config_from_ldm,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers import logging as transformers_logging

from standin.arguments import Arguments
from standin.optimizers import Device

log = logging.getLogger(__name__)
# It warns of prompts longer than the text encoder takes at once; they are encoded in pieces here.
transformers_logging.set_verbosity_error()

TEXT_PREFIX = "cond_stage_model.transformer."


class LoadError(Exception):
    """The checkpoint cannot be served; the message names the file and the reason."""


@dataclass(frozen=True)
class Networks:
    """A model, ready to run; `alphas_cumprod` is the share of signal left at each training step."""

    unet: torch.nn.Module
    vae: torch.nn.Module
    text_encoder: torch.nn.Module
    tokenizer: CLIPTokenizer
    alphas_cumprod: torch.Tensor
    latent_scale: float
    device: torch.device
    check_for_nans: bool


def config_beside(checkpoint: Path) -> Path:
    """Where a checkpoint's own configuration is: FILE.yaml beside FILE.safetensors."""
    return checkpoint.with_suffix(".yaml")


def sha256(file: Path) -> str:
    """The hash of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def pick_device(arguments: Arguments) -> torch.device:
    """The first GPU, or the CPU if there is none or `--use-cpu` says so."""
    if torch.cuda.is_available() and not arguments.use_cpu:
        return torch.device("cuda", 0)
    return torch.device("cpu")


def describe_device(device: torch.device, arguments: Arguments) -> Device:
    """What the choice of the attention optimization depends on.

    It asks, as the web UI does, whether there is CUDA at all, not whether it is used.
    """
    cuda = bool(torch.cuda.is_available())
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    wanted = bool({"xformers", "force_enable_xformers"} & arguments.attention)
    return Device(cuda=cuda, capability=capability, xformers=wanted and xformers_imports())


def xformers_imports() -> bool:
    """Whether xformers can be imported; if not, the log says why."""
    try:
        importlib.import_module("xformers.ops")
    except ImportError as error:
        log.warning("xformers cannot be imported, so it is not offered: %s", error)
        return False
    return True


def read_config(checkpoint: Path) -> dict[str, Any]:
    """The LDM configuration beside a checkpoint."""
    file = config_beside(checkpoint)
    try:
        content = yaml.safe_load(file.read_bytes())
    except FileNotFoundError as error:
        raise LoadError(f"{file} is not there; the stand-in needs a checkpoint's config") from error
    except yaml.YAMLError as error:
        raise LoadError(f"{file} is no YAML: {error}") from error
    try:
        return {"model": {"params": dict(content["model"]["params"])}}
    except (KeyError, TypeError) as error:
        raise LoadError(f"{file} has no model.params, as an LDM config has") from error


def read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, on the CPU."""
    try:
        return dict(safetensors.torch.load_file(checkpoint, device="cpu"))
    except FileNotFoundError as error:
        raise LoadError(f"{checkpoint} is not there") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise LoadError(f"{checkpoint} is no intact safetensors file: {error}") from error


def fill(module: torch.nn.Module, weights: dict[str, torch.Tensor], name: str) -> torch.nn.Module:
    """Give a module made on the meta device its weights; every one must be there and fit."""
    try:
        module.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        raise LoadError(f"the weights do not fit the {name} of the config: {error}") from error
    return module.eval().requires_grad_(False)


def load_text(
    version: str, weights: dict[str, torch.Tensor]
) -> tuple[torch.nn.Module, CLIPTokenizer]:
    """The text encoder and tokenizer; `version` is a folder, or a name in Hugging Face's cache."""
    try:
        config = CLIPTextConfig.from_pretrained(version, local_files_only=True)
        tokenizer = CLIPTokenizer.from_pretrained(version, local_files_only=True)
    except (OSError, ValueError) as error:
        raise LoadError(f"the text encoder {version} named by the config: {error}") from error
    with torch.device("meta"):
        encoder = CLIPTextModel(config)
    own = {
        name.removeprefix(TEXT_PREFIX): tensor
        for name, tensor in weights.items()
        if name.startswith(TEXT_PREFIX)
    }
    return fill(encoder, own, "text encoder"), tokenizer


def load(checkpoint: Path, arguments: Arguments) -> Networks:
    """Load a checkpoint onto the device, in half precision on a GPU unless told otherwise.

    Raises LoadError for a file that is missing, damaged, incomplete or of another kind.
    """
    started = time.monotonic()
    log.info("Loading weights from %s", checkpoint)
    weights, config = read_weights(checkpoint), read_config(checkpoint)
    log.info("Creating model from config: %s", config_beside(checkpoint))
    params = config["model"]["params"]
    try:
        version = params["cond_stage_config"]["params"]["version"]
        unet_config = create_unet_diffusers_config_from_ldm(config, weights)
        vae_config = create_vae_diffusers_config_from_ldm(config, weights)
        with torch.device("meta"):
            unet = UNet2DConditionModel(**unet_config)
            vae = AutoencoderKL(**vae_config)
        unet_weights = convert_ldm_unet_checkpoint(weights, unet_config)
        vae_weights = convert_ldm_vae_checkpoint(weights, vae_config)
        alphas_cumprod = weights["alphas_cumprod"].double()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise LoadError(
            f"{checkpoint} is no Stable Diffusion 1.x checkpoint of its config: {error!r}"
        ) from error
    device = pick_device(arguments)
    # Half precision convolutions and norms do not exist on the CPU in this torch.
    half = device.type == "cuda" and not arguments.no_half
    dtype = torch.float16 if half else torch.float32
    vae_dtype = torch.float32 if arguments.no_half_vae else dtype
    text_encoder, tokenizer = load_text(str(version), weights)
    networks = Networks(
        unet=fill(unet, unet_weights, "UNet").to(device, dtype),
        vae=fill(vae, vae_weights, "VAE").to(device, vae_dtype),
        text_encoder=text_encoder.to(device, dtype),
        tokenizer=tokenizer,
        alphas_cumprod=alphas_cumprod,
        latent_scale=float(params.get("scale_factor", 0.18215)),
        device=device,
        check_for_nans=not arguments.disable_nan_check,
    )
    log.info("Model loaded in %.1fs on %s", time.monotonic() - started, device)
    return networks
