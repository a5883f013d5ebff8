"""What attention does within a network: which calls, how exact by each backend, for how long."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import parity
from .backends import Backend
from .networks import Network
from .timing import Timed, between, mark

SHARE_PASSES = 3

Shape = tuple[int, int, int, int, int]
Arguments = tuple[Tensor, Tensor, Tensor, int]


@dataclass
class Survey:
    """One pass whose attention was computed in float64 and, beside that, by every backend.

    `output` is the network's, in float64 at last. `errors` holds each backend's largest relative
    L2 error on any one call, `refused` what a backend raised instead, explained. `calls` counts the
    calls of each shape (b, heads, n, m, head_dim), and `largest` has the arguments of one of those
    with the most scores.
    """

    output: Tensor = field(default_factory=lambda: torch.empty(0))
    errors: dict[str, float] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: Counter[Shape] = field(default_factory=Counter)
    largest: Arguments | None = None

    @property
    def shapes(self) -> list[Shape]:
        """The shapes that were asked for, those with the most scores first."""
        return sorted(self.calls, key=lambda shape: math.prod(shape[:4]), reverse=True)

    def calls_as_json(self) -> list[dict[str, int]]:
        """Every shape and how often it was asked for."""
        names = ("b", "h", "n", "m", "d")
        return [
            {**dict(zip(names, shape, strict=True)), "calls": self.calls[shape]}
            for shape in self.shapes
        ]


def survey(network: Network, backends: Mapping[str, Backend]) -> Survey:
    """Run the network once with exact attention, and try every backend on each of its calls."""
    found = Survey()

    def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        shape = (q.shape[0], heads, q.shape[1], k.shape[1], q.shape[2] // heads)
        found.calls[shape] += 1
        if shape == found.shapes[0]:
            found.largest = (q, k, v, heads)
        exact = parity.reference(q, k, v, heads)
        for name, backend in backends.items():
            if name in found.refused:
                continue
            try:
                error = relative_l2(backend(q, k, v, heads), exact)
            except Exception as reason:
                # In words: the exception itself would hold on to the tensors of the failed call.
                found.refused[name] = parity.explain(reason)
            else:
                found.errors[name] = max(found.errors.get(name, 0.0), error)
        return exact.to(q.dtype)

    found.output = network.run(attend).double()
    return found


def relative_l2(out: Tensor, exact: Tensor) -> float:
    """Norm of the difference over that of `exact` (float64); infinite for what is not finite."""
    error = float((out.double() - exact).norm() / exact.norm())
    return error if math.isfinite(error) else math.inf


class Stopwatch:
    """A backend that marks the device's time before and after each of its calls."""

    def __init__(self, backend: Backend, device: str) -> None:
        """Begin without a mark."""
        self._backend, self._device = backend, device
        self._marks: list[tuple[Any, Any]] = []

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Any:
        """Attend as the backend does."""
        before = mark(self._device)
        out = self._backend(q, k, v, heads)
        self._marks.append((before, mark(self._device)))
        return out

    def nanoseconds(self) -> int:
        """Time between all pairs of marks, all of which the device must have passed; forget them.

        On CUDA the device must not have waited for the host: that would be in it.
        """
        total = sum(between(before, after) for before, after in self._marks)
        self._marks.clear()
        return total


def share(network: Network, backend: Backend, device: str, launches: int = 1) -> float:
    """Part of a pass's time that is spent in the backend, from 0 to 1: the median of three passes.

    The projections before and after it, which all backends share, count as the network's. These
    passes are no samples: the marks cost time of their own. `launches` are the kernels of a pass.
    """
    watch = Stopwatch(backend, device)
    timed = Timed(partial(network.run, watch), device, launches=launches)
    shares = []
    for _ in range(SHARE_PASSES):
        taken = timed.sample()
        shares.append(watch.nanoseconds() / taken.device_ns)
    return statistics.median(shares)
