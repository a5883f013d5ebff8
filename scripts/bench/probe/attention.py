"""What attention does within a network: which calls, how exact by each backend, for how long."""

import math
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import forced, parity
from .backends import Backend
from .networks import Network
from .timing import Timed, between, mark

SHARE_PASSES = 3
KEPT_BYTES = 2**30
"""Of attention in float64, for the next backend; what is more is computed anew for each."""

Shape = tuple[int, int, int, int, int]
Arguments = tuple[Tensor, Tensor, Tensor, int]


@dataclass
class Survey:
    """Passes whose attention was computed in float64 and, beside that, by one backend each.

    `output` is the network's, in float64 at last. `errors` holds each backend's largest relative
    L2 error on any one call, `refused` what a backend raised instead, explained; `late` are those
    that the time did not reach. `calls` counts the calls of each shape (b, heads, n, m, head_dim),
    and `largest` has the arguments of one of those with the most scores.
    """

    output: Tensor = field(default_factory=lambda: torch.empty(0))
    errors: dict[str, float] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    calls: Counter[Shape] = field(default_factory=Counter)
    largest: Arguments | None = None

    def count(self, q: Tensor, k: Tensor, v: Tensor, heads: int) -> None:
        """Take note of one call of the network."""
        shape = (q.shape[0], heads, q.shape[1], k.shape[1], q.shape[2] // heads)
        self.calls[shape] += 1
        if shape == self.shapes[0]:
            self.largest = (q, k, v, heads)

    def hold(self, name: str, backend: Backend, call: Arguments, exact: Tensor) -> None:
        """Hold a backend's result of one call against the exact one; raises what it raises."""
        with forced.around(name):
            error = relative_l2(backend(*call), exact)
        self.errors[name] = max(self.errors.get(name, 0.0), error)

    @property
    def shapes(self) -> list[Shape]:
        """The shapes that were asked for, those with the most scores first."""
        return sorted(self.calls, key=lambda shape: math.prod(shape[:4]), reverse=True)

    @property
    def most_keys(self) -> int:
        """Keys of the call that has most."""
        return max((m for _, _, _, m, _ in self.calls), default=0)

    def calls_as_json(self) -> list[dict[str, int]]:
        """Every shape and how often it was asked for."""
        names = ("b", "h", "n", "m", "d")
        return [
            {**dict(zip(names, shape, strict=True)), "calls": self.calls[shape]}
            for shape in self.shapes
        ]


def survey(network: Network, backends: Mapping[str, Backend], by: float = math.inf) -> Survey:
    """Run the network with exact attention, and try each backend on each of its calls.

    The first backend is tried in any case; another only before `by`, a moment of time.monotonic()
    in seconds.
    """
    found, exact = Survey(), _Exact()
    names = list(backends)
    first = names[0] if names else None

    def begin(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        found.count(q, k, v, heads)
        result = parity.reference(q, k, v, heads)
        exact.keep(result)
        if first is not None and first not in found.refused:
            # One that refuses must not end this pass, which all others are held against.
            with _refusals(found, first):
                found.hold(first, backends[first], (q, k, v, heads), result)
        return result.to(q.dtype)

    found.output = network.run(begin).double()
    for name in names[1:]:
        if time.monotonic() > by:
            found.late.add(name)
            continue
        with _refusals(found, name):
            network.run(_trial(name, backends[name], exact.results(), found))
    return found


def _trial(
    name: str, backend: Backend, known: Iterator[Tensor], found: Survey
) -> Callable[[Tensor, Tensor, Tensor, int], Tensor]:
    """Exact attention that holds a backend against it; raises what the backend raises."""

    def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        result = next(known, None)
        if result is None:
            result = parity.reference(q, k, v, heads)
        found.hold(name, backend, (q, k, v, heads), result)
        return result.to(q.dtype)

    return attend


@contextmanager
def _refusals(found: Survey, name: str) -> Iterator[None]:
    """Note what is raised in the block as the backend's refusal, with torch's warnings."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            yield
        except Exception as error:
            # In words: the exception itself would hold on to the tensors of the failed call.
            told = [str(each.message) for each in warned]
            found.refused[name] = parity.explain(error, told)


class _Exact:
    """The first calls of a pass in float64: every pass makes the same calls on the same inputs."""

    def __init__(self) -> None:
        self._kept: list[Tensor] = []
        self._bytes = 0

    def keep(self, result: Tensor) -> None:
        """Keep the result of the next call, if there is room for it and all before it."""
        self._bytes += result.numel() * result.element_size()
        if self._bytes <= KEPT_BYTES:
            self._kept.append(result)

    def results(self) -> Iterator[Tensor]:
        """Yield those of the first calls of a pass; the later ones must be computed anew."""
        yield from self._kept


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
