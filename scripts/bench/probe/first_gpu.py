"""Which GPU is torch's first, as nvidia-smi and NVML know it; without torch.

They know all GPUs of the machine, in PCI's order, and pass over CUDA_VISIBLE_DEVICES. So does torch
where CUDA_DEVICE_ORDER is PCI_BUS_ID, as the probe and the web UI that it drives have it.
"""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence

LOOK_S = 30.0
ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""For whatever uses a GPU that is watched: CUDA's own order is the fastest first."""
_GPU = re.compile(r"GPU \d+: .*\(UUID: (GPU-[0-9a-f-]+)\)", re.IGNORECASE)
_PART = re.compile(r"\s+MIG .*\(UUID: (MIG-\S+)\)")


def identifier() -> str | None:
    """Index or UUID of torch's first GPU; of a part of a GPU (MIG) that of the whole.

    None where CUDA_VISIBLE_DEVICES hides every GPU. torch is not asked: that would be its first use
    of the GPU, and who else is there must be known before.
    """
    first = visible(os.environ)
    if first is None or first.isdigit():
        return first
    return find(first, _nvidia_smi("-L") or "") or first


def visible(environment: Mapping[str, str]) -> str | None:
    """The first entry of CUDA_VISIBLE_DEVICES: an index, or a UUID that may be cut short.

    "0" where it is not set; None where it hides every GPU.
    """
    first = environment.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    return None if first in ("", "-1", "NoDevFiles") else first


def find(wanted: str, listed: str) -> str | None:
    """The whole UUID of the GPU that one cut short names, or one of a part of it; None for none.

    `listed` is what `nvidia-smi -L` prints: below each GPU its parts.
    """
    # Before driver 470 a part was MIG-GPU-<the GPU's>/<instance>/<compute instance>.
    start = wanted.removeprefix("MIG-") if wanted.startswith("MIG-GPU-") else wanted
    start = start.partition("/")[0].lower()
    gpu = None
    for line in listed.splitlines():
        match = _GPU.match(line)
        gpu = match[1] if match else gpu
        match = match or _PART.match(line)
        if match and match[1].lower().startswith(start):
            return gpu
    return None


def asked(fields: Sequence[str], which: str | None) -> dict[str, str | None]:
    """What nvidia-smi says of a GPU's `fields`; all None where it does not, or not in time."""
    query = f"--query-gpu={','.join(fields)}"
    answer = which and _nvidia_smi(f"--id={which}", query, "--format=csv,noheader")
    values = [value.strip() for value in (answer or "").strip().split(",")]
    if not answer or len(values) != len(fields):
        return dict.fromkeys(fields)
    return dict(zip(fields, values, strict=True))


def _nvidia_smi(*arguments: str) -> str | None:
    """What nvidia-smi prints; None where it is missing, fails or does not answer."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=LOOK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
