"""What a reader of a run must know beforehand: what was loaded, and who else uses the GPU."""

from functools import partial

import torch

from . import cuda12, first_gpu, nvml
from .attn_plan import Device
from .records import progress


def begin(suite: str, device: Device, beside: int = 0) -> tuple[nvml.Watch | None, list[str]]:
    """The watch on the GPU, if there is one, and the notes; it is torch's first use of the GPU.

    So many processes `beside` ours are no strangers.
    """
    notes = []
    runtime = cuda12.preload(torch.version.cuda)
    if runtime is not None:
        notes.append(runtime)
    watch = None
    if device == "cuda":
        watch, what = nvml.watch(first_gpu.identifier() or "0")
        notes.append(what)
        if watch is not None:
            notes += watch.begin(partial(torch.zeros, 1, device=device), beside)
    for note in notes:
        progress(f"{suite}: {note}")
    return watch, notes
