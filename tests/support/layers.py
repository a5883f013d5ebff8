"""Small folders in the place of the layers that take gigabytes, for builds that take seconds."""

import os
from collections.abc import Iterable
from pathlib import Path

from scripts.workspace.files import EPOCH

# What takes minutes and gigabytes to build.
LARGE = ("py-cuda", "py-torch", "py-attention", "py-large", "py-moving", "py-webui")


def small(folder: Path, names: Iterable[str] = LARGE) -> list[str]:
    """Return the arguments that put the same small folder in the place of these layers."""
    mark = folder / "small" / "layer" / "mark"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text("instead of a layer\n")
    # BuildKit takes the same content at another time for the same, and gives what it has.
    os.utime(mark, (EPOCH, EPOCH))
    return [f"--context={name}={folder / 'small'}" for name in names]
