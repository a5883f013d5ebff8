"""AUTOMATIC1111's attention optimizations, written anew from the description of what each does.

Every backend takes the projected q (b, n, h*d), k and v (b, m, h*d) and the number of heads h,
and returns (b, n, h*d): splitting and merging heads is part of what a backend costs, since each
wants another layout. None takes a mask; the web UI's UNet has none. Scores are scaled by
1/sqrt(d). `free` is the memory, in bytes, that the backends which slice may count on; None asks
the device, as the web UI does on every call.
"""

import contextlib
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Backend = Callable[..., Any]


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had: of the device and of torch's own pool, or of the machine."""
    if device.type == "cuda":
        stats = torch.cuda.memory_stats(device)
        pool = stats["reserved_bytes.all.current"] - stats["active_bytes.all.current"]
        return int(torch.cuda.mem_get_info(device)[0] + pool)
    with Path("/proc/meminfo").open(encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/meminfo names no MemAvailable")


def _rows(x: Tensor, heads: int) -> Tensor:
    """(b, n, h*d) to (b*h, n, d)."""
    b, n, width = x.shape
    return x.view(b, n, heads, width // heads).transpose(1, 2).reshape(b * heads, n, width // heads)


def _merge_rows(x: Tensor, heads: int) -> Tensor:
    """(b*h, n, d) to (b, n, h*d)."""
    rows, n, d = x.shape
    return x.view(rows // heads, heads, n, d).transpose(1, 2).reshape(rows // heads, n, heads * d)


def _softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention over rows (r, n, d) with the scale already in q or k; holds all scores."""
    weights = torch.einsum("rnd,rmd->rnm", q, k).softmax(dim=-1, dtype=q.dtype)
    return torch.einsum("rnm,rmd->rnd", weights, v)


def sdp(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Torch's scaled_dot_product_attention on (b, h, n, d) views; torch picks the kernel."""
    b, n, width = q.shape
    q, k, v = (x.view(b, -1, heads, width // heads).transpose(1, 2) for x in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).reshape(b, n, width)


def without_memory_efficient() -> contextlib.AbstractContextManager[Any]:
    """Flash or math (and cuDNN where torch has it), in torch 2.1 and in later ones."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # torch before 2.3
        legacy: contextlib.AbstractContextManager[Any] = torch.backends.cuda.sdp_kernel(
            enable_flash=True, enable_math=True, enable_mem_efficient=False
        )
        return legacy
    wanted = ("FLASH_ATTENTION", "MATH", "CUDNN_ATTENTION")
    kernels = [getattr(SDPBackend, name) for name in wanted if hasattr(SDPBackend, name)]
    current: contextlib.AbstractContextManager[Any] = sdpa_kernel(kernels)
    return current


def sdp_no_mem(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """`sdp` with the memory-efficient kernel forbidden, chosen anew on every call."""
    with without_memory_efficient():
        return sdp(q, k, v, heads)


def xformers_ops() -> Any:
    """The module xformers.ops. Raises ImportError, whatever importing it raised."""
    try:
        import xformers.ops
    except ImportError:
        raise
    except Exception as error:
        why = f"importing xformers raised {type(error).__name__}: {error}"
        raise ImportError(why) from error
    return xformers.ops


def xformers(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Xformers' memory_efficient_attention on (b, n, h, d) views.

    Raises ImportError where there is no xformers, NotImplementedError where no operator of it
    takes this device, type and head_dim.
    """
    b, n, width = q.shape
    q, k, v = (x.view(b, -1, heads, width // heads) for x in (q, k, v))
    return xformers_ops().memory_efficient_attention(q, k, v, attn_bias=None).reshape(b, n, width)


def naive(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """All scores at once, scaled after the product: what runs with no optimization."""
    scale = (q.shape[-1] // heads) ** -0.5
    q, k, v = (_rows(x, heads) for x in (q, k, v))
    weights = (torch.einsum("rnd,rmd->rnm", q, k) * scale).softmax(dim=-1)
    return _merge_rows(torch.einsum("rnm,rmd->rnd", weights, v), heads)


def v1(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Two rows (a head of a batch entry) at a time."""
    scale = (q.shape[-1] // heads) ** -0.5
    q, k, v = (_rows(x, heads) for x in (q, k, v))
    out = torch.zeros_like(q)
    for start in range(0, q.shape[0], 2):
        pair = slice(start, start + 2)
        scores = torch.einsum("rnd,rmd->rnm", q[pair], k[pair])
        scores *= scale
        out[pair] = torch.einsum("rnm,rmd->rnd", scores.softmax(dim=-1), v[pair])
    return _merge_rows(out, heads)


def doggettx(q: Tensor, k: Tensor, v: Tensor, heads: int, free: int | None = None) -> Tensor:
    """Slices of the queries, halved until 2.5 (halves: 3) times the scores fit into `free`.

    Raises RuntimeError where 64 slices are too few.
    """
    k = k * (q.shape[-1] // heads) ** -0.5
    q, k, v = (_rows(x, heads) for x in (q, k, v))
    available = free_bytes(q.device) if free is None else free
    needed = q.shape[0] * q.shape[1] * k.shape[1] * q.element_size()
    needed = int(needed * (3 if q.element_size() == 2 else 2.5))
    slices = 1 if needed <= available else 2 ** math.ceil(math.log2(needed / available))
    if slices > 64:
        raise RuntimeError(f"out of memory: {needed} bytes needed in 64 slices, {available} free")
    return _merge_rows(_by_queries(q, k, v, max(q.shape[1] // slices, 1)), heads)


def _by_queries(q: Tensor, k: Tensor, v: Tensor, step: int) -> Tensor:
    """`_softmax_attention` on `step` queries of all rows at a time."""
    out = torch.zeros_like(q)
    for start in range(0, q.shape[1], step):
        out[:, start : start + step] = _softmax_attention(q[:, start : start + step], k, v)
    return out


def _by_rows(q: Tensor, k: Tensor, v: Tensor, step: int) -> Tensor:
    """`_softmax_attention` on `step` rows at a time."""
    out = torch.zeros_like(q)
    for start in range(0, q.shape[0], step):
        some = slice(start, start + step)
        out[some] = _softmax_attention(q[some], k[some], v[some])
    return out


def invokeai(q: Tensor, k: Tensor, v: Tensor, heads: int, free: int | None = None) -> Tensor:
    """Slices of rows, or of queries, whose scores take 32 MB on a CPU, free/3.3 on CUDA.

    `free` stands for either limit.
    """
    k = k * (q.shape[-1] // heads) ** -0.5
    q, k, v = (_rows(x, heads) for x in (q, k, v))
    if free is not None:
        limit = free / 2**20
    elif q.device.type == "cuda":
        limit = free_bytes(q.device) / 3.3 / 2**20
    else:
        limit = 32.0
    size = q.shape[0] * q.shape[1] * k.shape[1] * q.element_size() // 2**20
    if size <= limit:
        return _merge_rows(_softmax_attention(q, k, v), heads)
    parts = 1 << int((size - 1) / limit).bit_length()
    if parts <= q.shape[0]:
        return _merge_rows(_by_rows(q, k, v, q.shape[0] // parts), heads)
    return _merge_rows(_by_queries(q, k, v, max(q.shape[1] // parts, 1)), heads)


def sub_quadratic(q: Tensor, k: Tensor, v: Tensor, heads: int, free: int | None = None) -> Tensor:
    """1024 queries at a time; keys in chunks where all scores exceed 70 % of `free`.

    Rabe and Staats, Self-attention Does Not Need O(n^2) Memory, arXiv:2112.05682.
    """
    q, k, v = (_rows(x, heads) for x in (q, k, v))
    rows, n, d = q.shape
    m = k.shape[1]
    threshold = int((free_bytes(q.device) if free is None else free) * 0.7)
    if rows * n * m * q.element_size() <= threshold:
        keys = m
    else:
        keys = max(min(math.isqrt(m), m), threshold // (rows * q.element_size() * 2 * d))
    attend = _sliced_keys if keys < m else _all_keys
    if n <= 1024:
        return _merge_rows(attend(q, k, v, keys), heads)
    out = torch.zeros_like(q)
    for start in range(0, n, 1024):
        out[:, start : start + 1024] = attend(q[:, start : start + 1024], k, v, keys)
    return _merge_rows(out, heads)


def _scaled_scores(q: Tensor, k: Tensor) -> Tensor:
    """Q k^T / sqrt(d) with the scale inside the product (baddbmm, beta 0)."""
    nothing = torch.zeros(1, 1, 1, device=q.device, dtype=q.dtype)
    return torch.baddbmm(nothing, q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5, beta=0)


def _all_keys(q: Tensor, k: Tensor, v: Tensor, _keys: int) -> Tensor:
    """One chunk of queries against all keys."""
    return torch.bmm(_scaled_scores(q, k).softmax(dim=-1), v)


def _sliced_keys(q: Tensor, k: Tensor, v: Tensor, keys: int) -> Tensor:
    """One chunk of queries against `keys` keys at a time; each slice is put on one maximum."""
    values, sums, peaks = [], [], []
    for start in range(0, k.shape[1], keys):
        scores = _scaled_scores(q, k[:, start : start + keys])
        peak = scores.amax(dim=-1, keepdim=True)
        weights = torch.exp(scores - peak)
        values.append(torch.bmm(weights, v[:, start : start + keys]))
        sums.append(weights.sum(dim=-1, keepdim=True))
        peaks.append(peak)
    peak = torch.stack(peaks)
    factors = torch.exp(peak - peak.amax(dim=0, keepdim=True))
    total = (torch.stack(sums) * factors).sum(dim=0)
    return (torch.stack(values) * factors).sum(dim=0) / total


BACKENDS: dict[str, Backend] = {
    "sdp": sdp,
    "sdp-no-mem": sdp_no_mem,
    "xformers": xformers,
    "Doggettx": doggettx,
    "sub-quadratic": sub_quadratic,
    "V1": v1,
    "InvokeAI": invokeai,
    "naive": naive,
}


def little_memory(name: str, q: Tensor, k: Tensor, heads: int) -> int | None:
    """A `free` so small that backend `name` must slice, or None if it never does.

    The scores take more than four times that; sub-quadratic's keys come in four chunks.
    """
    b, n, width = q.shape
    m = k.shape[1]
    if name in ("Doggettx", "InvokeAI"):
        return int(b * heads * n * m * q.element_size() // 4)
    if name == "sub-quadratic":
        return int(b * q.element_size() * 2 * width * (m // 4 + 1) / 0.7)
    return None


warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.backends\.cuda")
