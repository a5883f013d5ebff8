"""Whether all backends agree with float64 here, also where little memory makes them slice."""

from collections.abc import Mapping
from functools import partial

import torch

from . import parity
from .attn_backends import UNET, VAE
from .attn_plan import FORCED
from .backends import Backend, little_memory
from .records import progress
from .shapes import Shape, scale, sd15, unet, vae


def check(seed: int, backends: Mapping[str, Backend] | None = None) -> list[str]:
    """Hold every backend against float64, slicing forced too; return what disagrees.

    A backend that this machine cannot run is passed over, with a line that says so.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtypes = ("float32", "float16") if device == "cuda" else ("float32",)
    faults: list[str] = []
    shapes = [
        *(scale(each, 2**24) for each in (*sd15(), *unet("sdxl", 1024))),
        scale(vae(512), 2**20),
    ]
    with torch.inference_mode():
        for shape in shapes:
            usual = _own(VAE if shape.model == "vae" else UNET)
            for dtype in dtypes:
                faults += _parity_of_shape(shape, dtype, device, seed, backends or usual)
    return faults


def _own(known: Mapping[str, Backend]) -> dict[str, Backend]:
    """The web UI's own; of a forced kernel its case says whether it agrees."""
    return {name: backend for name, backend in known.items() if name not in FORCED}


def _parity_of_shape(
    shape: Shape, dtype: str, device: str, seed: int, backends: Mapping[str, Backend]
) -> list[str]:
    q, k, v = parity.inputs(shape, dtype, device, seed)
    expected = parity.reference(q, k, v, shape.h)
    calls = {name: partial(backend, q, k, v, shape.h) for name, backend in backends.items()}
    for name in backends:
        little = little_memory(name, q, k, shape.h)
        if little is not None:
            calls[f"{name} (little memory)"] = partial(calls[name], free=little)
    faults = []
    for name, call in sorted(calls.items()):
        where = f"{shape.name} {dtype} {name}"
        try:
            found = parity.check(call, expected, device, repeats=2)
        except (ImportError, NotImplementedError) as error:
            progress(f"{where}: {': '.join(parity.explain(error))}")
            continue
        except Exception as error:
            faults.append(f"{where}: {': '.join(parity.explain(error))}")
            continue
        fault = found.fault(dtype, shape.m)
        progress(f"{where}: {fault or f'agrees, relative L2 {found.rel_l2:.1e}'}")
        if fault is not None:
            faults.append(f"{where}: {fault}")
    return faults
