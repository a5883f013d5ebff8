"""Small folders in the place of the layers that take gigabytes, for builds that take seconds."""

from collections.abc import Iterable
from pathlib import Path

# What takes minutes and gigabytes to build.
LARGE = ("py-cuda", "py-torch", "py-attention", "py-large", "py-moving", "py-webui")


def small(folder: Path, names: Iterable[str] = LARGE) -> list[str]:
    """Return the arguments that put the same small folder in the place of these layers."""
    mark = folder / "small" / "layer" / "mark"
    if not mark.exists():  # to BuildKit, another time is another file
        mark.parent.mkdir(parents=True)
        mark.write_text("instead of a layer\n")
    return [f"--context={name}={folder / 'small'}" for name in names]
