"""Torch's profiler, by the class that is below torch.profiler's.

That one imports torch's compiler at its first start (seen in torch 2.15), which takes longer than
to import torch.
"""

from typing import Any

import torch


def recorder(device: str, *, memory: bool = False) -> Any:
    """A context that records what runs in it on the host, and on CUDA the kernels, too."""
    on_gpu = "cuda" if device == "cuda" else None
    return torch.autograd.profiler.profile(
        use_device=on_gpu, use_kineto=True, profile_memory=memory
    )
