"""One attention kernel and no other, out of those that torch's SDPA and xformers choose from."""

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from .backends import xformers_ops

# Torch's own names, in torch.nn.attention and (before 2.3) in torch.backends.cuda.sdp_kernel.
_TORCH = {
    "sdp-cudnn": ("CUDNN_ATTENTION", None),
    "sdp-flash": ("FLASH_ATTENTION", "enable_flash"),
    "sdp-efficient": ("EFFICIENT_ATTENTION", "enable_mem_efficient"),
    "sdp-math": ("MATH", "enable_math"),
}
_XFORMERS = {"xformers-fa2": "flash", "xformers-cutlass": "cutlass"}


def around(name: str) -> AbstractContextManager[Any]:
    """The context in which backend `name` runs: for `sdp-*` all other kernels are forbidden.

    It is entered around the timed calls, not in each. Raises NotImplementedError where this torch
    knows no such kernel.
    """
    if name not in _TORCH:
        return contextlib.nullcontext()
    kernel, switch = _TORCH[name]
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # torch before 2.3
        switches = [old for _, old in _TORCH.values() if old is not None]
        if switch is None:
            raise _unknown(kernel) from None
        only = {each: each == switch for each in switches}
        legacy: AbstractContextManager[Any] = torch.backends.cuda.sdp_kernel(**only)
        return legacy
    if not hasattr(SDPBackend, kernel):
        raise _unknown(kernel)
    current: AbstractContextManager[Any] = sdpa_kernel([getattr(SDPBackend, kernel)])
    return current


def _unknown(kernel: str) -> NotImplementedError:
    return NotImplementedError(f"torch {torch.__version__} has no SDPA kernel {kernel}")


def xformers_by(name: str, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Backend `name`: memory_efficient_attention with the one operator that it names.

    q is (b, n, h*d), k and v are (b, m, h*d). Raises ImportError without xformers, ValueError or
    NotImplementedError where the operator does not take these inputs here.
    """
    fmha = xformers_ops().fmha
    operator = getattr(fmha, _XFORMERS[name])
    b, n, width = q.shape
    q, k, v = (x.view(b, -1, heads, width // heads) for x in (q, k, v))
    chosen = (operator.FwOp, operator.BwOp)
    return fmha.memory_efficient_attention(q, k, v, op=chosen).reshape(b, n, width)
