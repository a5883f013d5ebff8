"""What the web UI's optimizations do in the VAE's mid block, where it has one head of 512 channels.

Every backend takes q, k and v as (b, n, c), as the web UI passes them, and returns (b, n, c).
Re-expressed from the description of what each does; see `backends` for the U-Net's.
"""

import math

import torch
from torch import Tensor

from . import backends


def sdp(q: Tensor, k: Tensor, v: Tensor, _heads: int = 1) -> Tensor:
    """Torch's SDPA on three dimensions, which no fused kernel takes: the math kernel runs."""
    return torch.nn.functional.scaled_dot_product_attention(q, k, v)


def sdp_no_mem(q: Tensor, k: Tensor, v: Tensor, _heads: int = 1) -> Tensor:
    """`sdp` with the memory-efficient kernel forbidden, chosen anew on every call."""
    with backends.without_memory_efficient():
        return sdp(q, k, v)


def xformers(q: Tensor, k: Tensor, v: Tensor, _heads: int = 1) -> Tensor:
    """Xformers' memory_efficient_attention on three dimensions.

    Raises ImportError or NotImplementedError, where the web UI falls back on `doggettx`.
    """
    return backends.xformers_ops().memory_efficient_attention(q, k, v)


def naive(q: Tensor, k: Tensor, v: Tensor, _heads: int = 1) -> Tensor:
    """All scores at once, scaled after the product."""
    scores = torch.bmm(q, k.transpose(1, 2)) * q.shape[-1] ** -0.5
    return torch.bmm(scores.softmax(dim=2), v)


def doggettx(q: Tensor, k: Tensor, v: Tensor, _heads: int = 1, free: int | None = None) -> Tensor:
    """`naive` on slices of the queries, halved until 2.5 times the scores fit into `free` bytes.

    As the web UI does it, slices that do not divide the queries evenly are not made.
    """
    available = backends.free_bytes(q.device) if free is None else free
    needed = q.shape[0] * q.shape[1] * k.shape[1] * q.element_size() * 2.5
    slices = 1 if needed <= available else 2 ** math.ceil(math.log2(needed / available))
    n = q.shape[1]
    step = n // slices if n % slices == 0 else n
    out = torch.zeros_like(q)
    for start in range(0, n, step):
        out[:, start : start + step] = naive(q[:, start : start + step], k, v)
    return out
