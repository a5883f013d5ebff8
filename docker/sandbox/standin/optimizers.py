"""The attention optimizations the web UI offers, and which of them it applies."""

from __future__ import annotations

from dataclasses import dataclass

AUTOMATIC, DISABLED = "Automatic", "None"


@dataclass(frozen=True)
class Device:
    """What the choice depends on: CUDA, its compute capability, and whether xformers imports."""

    cuda: bool = False
    capability: tuple[int, int] | None = None
    xformers: bool = False


@dataclass(frozen=True)
class Optimizer:
    """One optimization: its name in the log, its label in the settings, and the flag that asks."""

    name: str
    flag: str
    priority: int
    label: str | None = None
    # InvokeAI's slicing is the first choice where there is no CUDA.
    priority_without_cuda: int | None = None

    @property
    def title(self) -> str:
        """The value of the setting `cross_attention_optimization` that selects it."""
        return self.name if self.label is None else f"{self.name} - {self.label}"

    def rank(self, device: Device) -> int:
        """The priority on this device; higher is preferred."""
        if self.priority_without_cuda is not None and not device.cuda:
            return self.priority_without_cuda
        return self.priority


XFORMERS = Optimizer("xformers", "xformers", 100)
# In the order of registration, which decides between equal priorities.
OPTIMIZERS = (
    XFORMERS,
    Optimizer(
        "sdp-no-mem",
        "opt_sdp_no_mem_attention",
        80,
        "scaled dot product without memory efficient attention",
    ),
    Optimizer("sdp", "opt_sdp_attention", 70, "scaled dot product"),
    Optimizer("sub-quadratic", "opt_sub_quad_attention", 10),
    Optimizer("V1", "opt_split_attention_v1", 10, "original v1"),
    Optimizer("InvokeAI", "opt_split_attention_invokeai", 10, priority_without_cuda=1000),
    Optimizer("Doggettx", "opt_split_attention", 90),
)


def xformers_available(device: Device, flags: frozenset[str]) -> bool:
    """Whether xformers is offered: asked for, importable, and on a GPU of capability 6.0 to 9.0.

    `--force-enable-xformers` skips the questions, and calls of xformers may then fail.
    """
    if "force_enable_xformers" in flags:
        return True
    supported = device.capability is not None and (6, 0) <= device.capability <= (9, 0)
    return "xformers" in flags and device.xformers and device.cuda and supported


def available(device: Device, flags: frozenset[str]) -> list[Optimizer]:
    """What can be applied here, most preferred first."""
    found = [
        optimizer
        for optimizer in OPTIMIZERS
        if optimizer is not XFORMERS or xformers_available(device, flags)
    ]
    return sorted(found, key=lambda optimizer: -optimizer.rank(device))


def choose(selection: str, device: Device, flags: frozenset[str]) -> Optimizer | None:
    """The optimization for a value of `cross_attention_optimization`; None for the plain attention.

    `Automatic` is the first available one whose flag was given, or else the first available one,
    unless optimizations are disabled by flag. A title that is not available, or is no title at
    all, is answered with the first available one.
    """
    offered = available(device, flags)
    if selection == DISABLED:
        return None
    if selection == AUTOMATIC:
        if "disable_opt_split_attention" in flags:
            return None
        return next((found for found in offered if found.flag in flags), offered[0])
    return next((found for found in offered if found.title == selection), offered[0])
