"""The shortest time a device could take for a call, and which of its limits binds; no torch."""

from dataclasses import dataclass

from .shapes import Shape


@dataclass(frozen=True)
class Ceilings:
    """Peak rates of a device for one data type; None is not known.

    `flops` are operations/s of matrix products, `bytes` those/s of its memory (read and written),
    `exps` exponentials/s. `source` says where they are from.
    """

    flops: float
    bytes: float
    exps: float | None
    source: str


_DATA_SHEETS = {"NVIDIA H100": (989e12, 3.35e12, 3.9e12)}
"""In half precision without sparsity, by the start of the device's name. Source: the data sheet of
the H100 SXM5; 132 SMs of 16 exponentials a clock at 1.83 GHz."""
HALVES = ("float16", "bfloat16")


def data_sheet(gpu: str | None, dtype: str) -> Ceilings | None:
    """What the maker of `gpu` promises for `dtype`, where it is known here."""
    for name, (flops, bandwidth, exps) in _DATA_SHEETS.items():
        if gpu is not None and gpu.startswith(name) and dtype in HALVES:
            return Ceilings(flops, bandwidth, exps, f"data sheet of {name}")
    return None


def floor_seconds(shape: Shape, itemsize: int, ceilings: Ceilings) -> tuple[float, str]:
    """Shortest time that the ceilings allow for `shape`, and which of them binds.

    `itemsize` is in bytes. Williams, Waterman and Patterson, Roofline, CACM 52 (2009), with the
    exponentials as a third limit.
    """
    times = {
        "flops": shape.flops / ceilings.flops,
        "bytes": shape.least_bytes(itemsize) / ceilings.bytes,
    }
    if ceilings.exps is not None:
        times["exps"] = shape.scores / ceilings.exps
    bound = max(times, key=lambda limit: times[limit])
    return times[bound], bound
