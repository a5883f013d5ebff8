"""The CUDA 12 runtime for an xformers that was built against it, beside a torch of CUDA 13.

The compiled part of xformers 0.0.35 wants libcudart.so.12, and a torch of CUDA 13 brings
libcudart.so.13 alone. Where the package nvidia-cuda-runtime-cu12 is installed in the same Python,
its library is loaded for all to see before xformers is imported; the linker then finds it by name.
"""

import ctypes
import importlib.metadata
from pathlib import Path

PACKAGE = "nvidia-cuda-runtime-cu12"
LIBRARY = "libcudart.so.12"


def find() -> Path | None:
    """Where PACKAGE put its runtime; None where this Python has none."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = next((file for file in files if file.name == LIBRARY), None)
    return None if found is None else Path(str(found.locate()))


def preload(torch_cuda: str | None) -> str | None:
    """Load the runtime where torch's own (`torch.version.cuda`) is not of CUDA 12.

    Says what was done, or why it failed; None where nothing was to be done.
    """
    if torch_cuda is None or torch_cuda.partition(".")[0] == "12":
        return None
    path = find()
    if path is None:
        return f"{LIBRARY} not loaded: {PACKAGE} is not installed"
    try:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return f"{LIBRARY} not loaded: {error}"
    return f"{LIBRARY} of {PACKAGE} {importlib.metadata.version(PACKAGE)} loaded"
