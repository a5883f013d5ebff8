"""TensorFloat-32, in which a GPU multiplies float32 with ten bits of mantissa.

What is timed has it on, since the web UI has; what is checked has it off, since it rounds a hundred
times more than a backend may differ.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def as_web_ui() -> None:
    """Switch it on for products and convolutions, as AUTOMATIC1111 does on every CUDA machine.

    (modules/devices.py, enable_tf32.) GPUs of before Ampere pass over it.
    """
    if torch.cuda.is_available():
        _switch(True, True)


@contextmanager
def off(device: str) -> Iterator[None]:
    """Without it in the block; on a CPU there is none."""
    if device != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    _switch(False, False)
    try:
        yield
    finally:
        _switch(*before)


def _switch(products: bool, convolutions: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.allow_tf32 = convolutions
