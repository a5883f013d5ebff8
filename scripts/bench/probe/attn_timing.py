"""How suite `attn` times its calls: with hot caches many in a row, with cold ones each by itself.

With hot caches the calls of a sample follow one another on the same tensors. With cold ones a
buffer larger than any cache is written before each of them, which is not timed.
"""

from collections.abc import Callable

import torch

from .attn_backends import Call
from .timing import Timed

EVICTING_BYTES = 2**28
"""256 MiB: more than the last cache of any GPU or CPU that is meant."""
MOST_COLD_CALLS = 20


def evictor(device: str) -> Callable[[], object]:
    """What empties the caches of `device` when it is called."""
    evict: Callable[[], object] = torch.empty(
        EVICTING_BYTES, dtype=torch.uint8, device=device
    ).zero_
    return evict


def timed(prepared: Call, device: str, launches: int, evict: Callable[[], object] | None) -> Timed:
    """Return what times a backend's calls, of so many launches; with `evict` each after it."""
    return Timed(prepared.call, device, launches=launches, evict=evict, around=prepared.around)
