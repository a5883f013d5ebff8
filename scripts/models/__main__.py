"""`./nox -s models`: bring a profile's model here, verify it, and say what it is."""

import argparse
import json
import struct
import sys
from math import prod
from pathlib import Path

from scripts.models.store import folder
from scripts.workspace.cli import run
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load
from scripts.workspace.paths import shown


def describe(checkpoint: Path) -> str:
    """Return one line on a safetensors file: tensors, parameters, types, bytes.

    Raises BadInput when the file is no safetensors file (format: 8 bytes of header length, the
    header in JSON, the data; https://github.com/huggingface/safetensors#format).
    """
    with checkpoint.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 100_000_000)))
        except (struct.error, ValueError):
            raise BadInput(f"{shown(checkpoint)} is no safetensors file.") from None
    header.pop("__metadata__", None)
    types = sorted({tensor["dtype"] for tensor in header.values()})
    parameters = sum(prod(tensor["shape"]) for tensor in header.values())
    return (
        f"{checkpoint.name}: {len(header)} tensors, {parameters / 1e6:.1f} M parameters, "
        f"{'/'.join(types)}, {checkpoint.stat().st_size / 1e6:.1f} MB"
    )


def main(args: argparse.Namespace) -> int:
    """Fetch, verify and describe."""
    workspace = load()
    name = workspace.profile(args.profile).model
    record = workspace.models[name]
    store = folder(name, record)
    print(f"{name}: verified in {shown(store)}")
    print(describe(store / record.checkpoint))
    return 0


if __name__ == "__main__":
    sys.exit(run("models", main))
