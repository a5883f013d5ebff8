"""Does a backend agree with float64? Asked of every case before it is timed."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import tf32
from .shapes import Shape

Call = Callable[[], Any]

REPEATS = 10
TOLERANCE = {"float32": 5e-6, "float16": 4e-3, "bfloat16": 3e-2}
"""Largest relative L2 error by type: about eight units of roundoff for the halves; for float32
ten times what all backends were seen to have (3.7e-7), with KEYS keys at most."""
KEYS = 4096


def tolerance(dtype: str, keys: int) -> float:
    """Largest relative L2 error of a call with so many keys.

    Rounding of a sum in float32 grows as a random walk does, with the root of its length (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd edition, section 2.8). The halves are summed
    in float32, too, and what they are rounded to at last hides it.
    """
    grown = math.sqrt(keys / KEYS) if dtype == "float32" and keys > KEYS else 1.0
    return TOLERANCE[dtype] * grown


@dataclass(frozen=True)
class Parity:
    """How far ten repeats of one call are from float64, and how long each took."""

    rel_l2: float
    max_abs: float
    finite: bool
    bitwise: bool
    times_ns: tuple[int, ...]

    def fault(self, dtype: str, keys: int) -> str | None:
        """Why the case must not be timed, or None. Repeats may differ in bits: it is recorded.

        It is of a call with so many `keys`.
        """
        if not self.finite:
            return "the output holds NaN or infinity"
        if not self.rel_l2 <= (allowed := tolerance(dtype, keys)):
            return (
                f"disagrees with float64: relative L2 {self.rel_l2:.2e} is over "
                f"{allowed:.0e}, largest difference {self.max_abs:.2e}"
            )
        return None


def inputs(shape: Shape, dtype: str, device: str, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Normal random q (b, n, h*d), k and v (b, m, h*d), the same values for every backend."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tokens: int) -> Tensor:
        values = torch.randn(shape.b, tokens, shape.h * shape.d, generator=generator)
        return values.to(device=device, dtype=getattr(torch, dtype))

    return draw(shape.n), draw(shape.m), draw(shape.m)


def reference(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention in float64, one head at a time to bound the memory; (b, n, h*d), float64."""
    d = q.shape[-1] // heads
    out = torch.empty(q.shape, dtype=torch.float64, device=q.device)
    for entry in range(q.shape[0]):
        for head in range(heads):
            columns = slice(head * d, (head + 1) * d)
            q64, k64, v64 = (x[entry, :, columns].double() for x in (q, k, v))
            scores = q64 @ k64.T / d**0.5
            out[entry, :, columns] = scores.softmax(dim=-1) @ v64
    return out


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def check(call: Call, expected: Tensor, device: str, repeats: int = REPEATS) -> Parity:
    """Run `call` `repeats` times without TF32, and hold it against `expected` (float64)."""
    times, first, bitwise = [], None, True
    with tf32.off(device):
        for _ in range(repeats):
            synchronize(device)
            start = time.perf_counter_ns()
            out = call()
            synchronize(device)
            times.append(time.perf_counter_ns() - start)
            if first is None:
                first = out
            else:
                bitwise = bitwise and torch.equal(first, out)
    assert first is not None
    finite = bool(torch.isfinite(first).all())
    difference = first.double() - expected
    return Parity(
        rel_l2=float(difference.norm() / expected.norm()) if finite else float("inf"),
        max_abs=float(difference.abs().max()) if finite else float("inf"),
        finite=finite,
        bitwise=bitwise,
        times_ns=tuple(times),
    )


def explain(error: Exception, warned: Sequence[str] = ()) -> tuple[str, str]:
    """Status of a case whose call raised, and the reason in one line of at most 600 characters.

    `warned` are warnings of the same call: torch tells there why no kernel would do.
    """
    text = f"{type(error).__name__}: {error}"
    memory = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or any(
        words in text for words in ("out of memory", "can't allocate memory")
    )
    if memory:
        status = "oom"
    elif isinstance(error, ImportError | NotImplementedError | OSError):
        status = "unavailable"
    else:
        status = "unsupported"
    told = [message.partition("(Triggered internally")[0] for message in dict.fromkeys(warned)]
    return status, " ".join("; ".join([text, *told]).split())[:600]
