"""Attention in the ways the web UI's optimizations compute it, as a diffusers attention processor.

Every kernel takes queries of shape (batch, heads, N, d) and keys and values of shape
(batch, heads, M, d), and returns (batch, heads, N, d): softmax(q k^T / sqrt(d)) v. They differ in
what they keep in memory at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch
from torch.nn import functional

from standin.optimizers import Optimizer

Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

MIB = 1 << 20
# Rows of the score matrix that the sub-quadratic kernel computes at a time (Rabe and Staats,
# "Self-attention Does Not Need O(n^2) Memory", 2021).
QUERY_CHUNK = 1024


def free_bytes(device: torch.device) -> int:
    """Memory that an allocation on this device can still get."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + unused)


def score_bytes(q: torch.Tensor, k: torch.Tensor) -> int:
    """The size of all attention scores of a call."""
    batch, heads, n, _ = q.shape
    return int(batch * heads * n * k.shape[2] * q.element_size())


def naive(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """All scores at once."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.softmax(dim=-1) @ v


def by_queries(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: int) -> torch.Tensor:
    """Scores of at most `rows` queries at once."""
    return torch.cat([naive(part, k, v) for part in q.split(max(rows, 1), dim=2)], dim=2)


def by_rows(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: int) -> torch.Tensor:
    """Scores of at most `rows` (batch, head) pairs at once."""
    batch, heads = q.shape[:2]
    flat = (tensor.flatten(0, 1).unsqueeze(0) for tensor in (q, k, v))
    parts = zip(*(tensor.split(max(rows, 1), dim=1) for tensor in flat), strict=True)
    return torch.cat([naive(*part) for part in parts], dim=1).view(batch, heads, *q.shape[2:])


def v1(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Two (batch, head) pairs at a time."""
    return by_rows(q, k, v, 2)


def doggettx(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """All scores if they fit into free memory with what softmax needs, else a power of two slices.

    Raises RuntimeError when even 64 slices do not fit.
    """
    needed = score_bytes(q, k) * (3.0 if q.element_size() == 2 else 2.5)
    free = free_bytes(q.device)
    slices = 1 if needed <= free else 1 << math.ceil(math.log2(needed / free))
    if slices > 64:
        raise RuntimeError(
            f"Not enough memory for attention over {q.shape[2]} positions: "
            f"{needed / 64 / MIB:.0f} MiB needed in one slice, {free / MIB:.0f} MiB free. "
            "Use a lower resolution."
        )
    return by_queries(q, k, v, -(-q.shape[2] // slices))


def invokeai(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Slices of 32 MiB on a CPU and free memory / 3.3 on a GPU: over heads first, then queries."""
    limit = 32 * MIB if q.device.type != "cuda" else int(free_bytes(q.device) / 3.3)
    size = score_bytes(q, k)
    if size <= limit:
        return naive(q, k, v)
    pairs = q.shape[0] * q.shape[1]
    slices = 1 << max(size // limit, 1).bit_length()
    if slices <= pairs:
        return by_rows(q, k, v, pairs // slices)
    return by_queries(q, k, v, q.shape[2] // slices)


def over_key_chunks(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, chunk: int) -> torch.Tensor:
    """Softmax over the keys in chunks, with a running maximum, sum and weighted mean."""
    q = q * q.shape[-1] ** -0.5
    top = torch.full((*q.shape[:-1], 1), -math.inf, dtype=torch.float32, device=q.device)
    total, mean = torch.zeros_like(top), torch.zeros_like(q, dtype=torch.float32)
    for keys, values in zip(k.split(chunk, dim=2), v.split(chunk, dim=2), strict=True):
        scores = (q @ keys.transpose(-1, -2)).float()
        higher = torch.maximum(top, scores.amax(dim=-1, keepdim=True))
        weights, keep = (scores - higher).exp(), (top - higher).exp()
        total = total * keep + weights.sum(dim=-1, keepdim=True)
        mean = mean * keep + weights @ values.float()
        top = higher
    return (mean / total).to(v.dtype)


def sub_quadratic(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Chunks of 1024 queries; keys in chunks too when their scores exceed 70 % of free memory."""
    parts = q.split(QUERY_CHUNK, dim=2)
    if score_bytes(parts[0], k) <= 0.7 * free_bytes(q.device):
        return torch.cat([naive(part, k, v) for part in parts], dim=2)
    chunk = math.isqrt(k.shape[2]) + 1
    return torch.cat([over_key_chunks(part, k, v, chunk) for part in parts], dim=2)


def sdp(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """PyTorch's scaled_dot_product_attention, which picks a fused kernel where one fits."""
    return functional.scaled_dot_product_attention(q, k, v)


def sdp_unbatched_heads(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The same on three dimensions, as the web UI does in the VAE: no fused kernel takes those."""
    q, k, v = (tensor.flatten(0, 1) for tensor in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v).unsqueeze(1)


def without_memory_efficient(kernel: Kernel) -> Kernel:
    """The kernel, with PyTorch's memory-efficient implementation switched off during the call."""

    def call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        with torch.backends.cuda.sdp_kernel(
            enable_flash=True, enable_math=True, enable_mem_efficient=False
        ):
            return kernel(q, k, v)

    return call


def xformers(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Xformers' memory_efficient_attention, which wants (batch, N, heads, d).

    Raises NotImplementedError when xformers has no kernel for the device, type or shape.
    """
    # Imported when called for: it takes seconds, and only --xformers asks for it.
    import xformers.ops

    q, k, v = (tensor.transpose(1, 2).contiguous() for tensor in (q, k, v))
    return xformers.ops.memory_efficient_attention(q, k, v).transpose(1, 2)


def xformers_or_doggettx(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """xformers, or Doggettx for what xformers has no kernel for."""
    try:
        return xformers(q, k, v)
    except NotImplementedError:
        return doggettx(q, k, v)


@dataclass(frozen=True)
class Kernels:
    """What an optimization uses in the UNet, and in the one attention layer of the VAE."""

    unet: Kernel
    vae: Kernel


# By the name of the optimization; V1 and InvokeAI leave the VAE as it is.
KERNELS = {
    "xformers": Kernels(xformers, xformers_or_doggettx),
    "sdp-no-mem": Kernels(
        without_memory_efficient(sdp), without_memory_efficient(sdp_unbatched_heads)
    ),
    "sdp": Kernels(sdp, sdp_unbatched_heads),
    "sub-quadratic": Kernels(sub_quadratic, sub_quadratic),
    "V1": Kernels(v1, naive),
    "InvokeAI": Kernels(invokeai, naive),
    "Doggettx": Kernels(doggettx, doggettx),
}
UNOPTIMIZED = Kernels(naive, naive)


class Processor:
    """Projections around a kernel, in the form diffusers' `Attention` modules call."""

    def __init__(self, kernel: Kernel) -> None:
        """Compute attention with `kernel`."""
        self.kernel = kernel

    def __call__(
        self,
        attn: torch.nn.Module,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attention of (batch, N, channels) or, in the VAE, (batch, channels, height, width)."""
        if attention_mask is not None:
            raise ValueError("the UNet and VAE of Stable Diffusion 1.x use no attention mask")
        shape, residual = hidden_states.shape, hidden_states
        states = hidden_states.flatten(2).transpose(1, 2) if len(shape) == 4 else hidden_states
        if attn.group_norm is not None:
            states = attn.group_norm(states.transpose(1, 2)).transpose(1, 2)
        context = states if encoder_hidden_states is None else encoder_hidden_states

        def heads(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        mixed = self.kernel(
            heads(attn.to_q(states)), heads(attn.to_k(context)), heads(attn.to_v(context))
        )
        states = attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2)))
        if len(shape) == 4:
            states = states.transpose(1, 2).reshape(shape)
        if attn.residual_connection:
            states = states + residual
        return states / attn.rescale_output_factor


def apply(optimizer: Optimizer | None, unet: torch.nn.Module, vae: torch.nn.Module) -> None:
    """Have both networks compute attention as the optimization does, or plainly for None."""
    kernels = UNOPTIMIZED if optimizer is None else KERNELS[optimizer.name]
    unet.set_attn_processor(Processor(kernels.unet))
    vae.set_attn_processor(Processor(kernels.vae))
