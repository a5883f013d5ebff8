"""What this device can do at best, measured: one product of matrices, one copy, one exponential.

They are the ceilings of `roofline`. Each is the best of a few repeats, since whatever disturbs a
run makes it slower only.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .roofline import Ceilings

REPEATS = 3
SECONDS = 0.1
"""Of each on a CPU: three calls at least, and more for this long."""
CHAIN = 256
"""Exponentials in a row for each element on CUDA, so that its memory is not what binds."""

_EXP_CHAIN = f"""template <typename T> T exp_chain(T x) {{
  #pragma unroll
  for (int i = 0; i < {CHAIN}; ++i) x = __expf(-x);
  return x;
}}"""


@dataclass(frozen=True)
class _Sizes:
    """Side of the matrices, bytes copied, elements of the exponential."""

    side: int
    copied: int
    elements: int


# On a CPU the copy's 64 MiB stay in no cache. The exponentials' 128 KiB do, and are as many as
# torch takes on one core: where others use the cores, too, they would mostly wait for each other.
_SIZES = {"cpu": _Sizes(1024, 2**26, 2**15), "cuda": _Sizes(8192, 2**30, 2**24)}


def measure(device: str, dtype: str) -> Ceilings:
    """The ceilings of `device` ("cpu" or "cuda") for `dtype`, in 1/s.

    Exponentials are taken in float32, as attention kernels do. On CUDA they need a kernel made at
    run time; where that fails their ceiling is None and `source` says why.
    """
    sizes = _SIZES[device]
    best = _best_cuda if device == "cuda" else _best_cpu
    number = getattr(torch, dtype)
    a, b = (torch.randn(sizes.side, sizes.side, device=device).to(number) for _ in range(2))
    product = torch.empty_like(a)
    flops = 2 * sizes.side**3 / best(lambda: torch.mm(a, b, out=product))
    source = torch.ones(sizes.copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    # Read once and written once.
    moved = 2 * sizes.copied / best(lambda: target.copy_(source))
    values = torch.rand(sizes.elements, device=device)
    said = "measured: matmul, copy, exp"
    exps = None
    try:
        call, each = _exponentials(values, device)
        exps = sizes.elements * each / best(call)
    except Exception as error:  # whatever the run-time compiler raises, the rest is of use
        said = f"measured: matmul, copy; no exp kernel ({type(error).__name__}: {error})"[:200]
    return Ceilings(flops, moved, exps, said)


def _exponentials(values: Tensor, device: str) -> tuple[Callable[[], Any], int]:
    """A call that takes exponentials of `values`, and how often the device could do that meanwhile.

    On a CPU the call keeps one core busy, of as many as torch uses. To base 2, as the hardware
    takes them: torch hands those to base e to a library that takes all cores at any size.
    """
    if device == "cuda":
        from torch.cuda.jiterator import _create_jit_fn

        chain = _create_jit_fn(_EXP_CHAIN)
        return lambda: chain(values), CHAIN
    out = torch.empty_like(values)
    return lambda: torch.exp2(values, out=out), torch.get_num_threads()


def _best_cpu(call: Callable[[], Any]) -> float:
    """Shortest of the repeats in seconds."""
    taken: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(taken) < REPEATS or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def _best_cuda(call: Callable[[], Any]) -> float:
    """Shortest of some repeats in seconds of the device; the first raise its clocks."""
    taken: list[float] = []
    for _ in range(4 * REPEATS):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        call()
        last.record()
        last.synchronize()
        taken.append(first.elapsed_time(last) / 1e3)
    return min(taken)
