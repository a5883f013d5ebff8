"""diffusers' networks with weights drawn at random, and any attention of ours in them.

The weights are torch's own initial ones, drawn from the seed: nothing is downloaded. They make no
pictures, but every operation runs on tensors of the sizes that it has with the real ones.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from .backends import Backend
from .workloads import REDUCTION, Workload

TIMESTEP = 500
POOLED_TEXT = 1280
"""Width of SDXL's pooled text embedding; SD1.5 takes none, and passes over it."""


class Processor:
    """What diffusers' attention modules call: their own projections around `attend`."""

    def __init__(self, attend: Backend) -> None:
        """Begin with `attend`; another may be put in its place before any pass."""
        self.attend = attend

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Attention on (b, n, c), or on (b, c, height, width) in the VAE; the same shape again.

        Raises ValueError for a mask: Stable Diffusion's networks have none, nor do our backends.
        """
        if attention_mask is not None:
            raise ValueError("there is no attention with a mask here")
        residual = hidden_states
        if hidden_states.ndim == 4:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        out: Tensor = attn.to_out[0](self.attend(q, k, v, attn.heads))
        if residual.ndim == 4:
            out = out.transpose(1, 2).reshape(residual.shape)
        return out + residual if attn.residual_connection else out


class Network:
    """The network of a workload on a device, with one input that is used again and again."""

    def __init__(self, workload: Workload, device: str, seed: int) -> None:
        """Build it. Raises ValueError where it has not the parameters of the published one."""
        model = blank(workload)
        self.parameters = sum(each.numel() for each in model.parameters())
        published = workload.published_parameters
        if published is not None and self.parameters != published:
            raise ValueError(
                f"{workload.name} has {self.parameters} parameters, the published one has "
                f"{published}: this version of diffusers builds another network"
            )
        draw_weights(model, device, workload.dtype, seed)
        self.weights_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
        self._processor = Processor(_nothing)
        for module in model.modules():
            if hasattr(module, "set_processor"):
                module.set_processor(self._processor)
        self._forward = _forward(model, workload, device, seed)

    def run(self, attend: Backend) -> Tensor:
        """One denoising step of a UNet, or one decode of a VAE, with this attention."""
        self._processor.attend = attend
        return self._forward()


def _nothing(*_: Any) -> Tensor:
    raise ValueError("no backend was chosen")


def blank(workload: Workload) -> Any:
    """The network of a workload without weights, on torch's device "meta"."""
    kind = UNet2DConditionModel if workload.suite == "unet" else AutoencoderKL
    with torch.device("meta"):
        return kind(**workload.configuration).eval()


def draw_weights(model: Any, device: str, dtype: str, seed: int) -> None:
    """Give a blank network the weights that its layers begin with, drawn on the device itself."""
    # Not diffusers' own `to`, which warns of modules that must stay float32 even if there are none.
    torch.nn.Module.to(model, getattr(torch, dtype)).to_empty(device=device)
    torch.manual_seed(seed)
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def _forward(model: Any, workload: Workload, device: str, seed: int) -> Callable[[], Tensor]:
    """One pass on normal random input, of the same values on every device."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        values = torch.randn(workload.batch, *shape, generator=generator)
        return values.to(device=device, dtype=getattr(torch, workload.dtype))

    latent, config = workload.side // REDUCTION, workload.configuration
    if workload.suite == "vae":
        pixels = draw(config["latent_channels"], latent, latent)
        return _first(partial(model.decode, pixels, return_dict=False))
    sample = draw(config["in_channels"], latent, latent)
    text = draw(workload.tokens, config["cross_attention_dim"])
    # Sizes and crop of the picture, as SDXL is told them.
    sizes = torch.tensor([[workload.side, workload.side, 0, 0, workload.side, workload.side]])
    added = {
        "text_embeds": draw(POOLED_TEXT),
        "time_ids": sizes.repeat(workload.batch, 1).to(text),
    }
    timestep = torch.tensor(TIMESTEP, device=device)
    step = partial(model, sample, timestep, text, added_cond_kwargs=added, return_dict=False)
    return _first(step)


def _first(call: Callable[[], Any]) -> Callable[[], Tensor]:
    """The call's first result: without a dictionary diffusers gives a tuple of one."""

    def first() -> Tensor:
        only: Tensor = call()[0]
        return only

    return first
