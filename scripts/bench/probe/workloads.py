"""What suites `unet` and `vae` run: which network, on what size of image, in which type."""

from dataclasses import dataclass
from typing import Any, Literal

from .configurations import SD15, SDXL, Configuration, Published, narrowed

SuiteName = Literal["unet", "vae"]

TEXT_TOKENS = 77
GUIDANCE = 2
"""One image with classifier-free guidance is a batch of two in the UNet, and of one in the VAE."""
REDUCTION = 8
"""Pixels of the image along each side of one of the latent's."""


@dataclass(frozen=True)
class Workload:
    """One network on one size of input; `side` is in pixels, the latent's is an eighth of it."""

    suite: SuiteName
    model: Published
    side: int
    dtype: str
    divisor: int = 1
    """By what channels and heads are divided, to fit a slow device."""

    @property
    def name(self) -> str:
        """As sd15-512, or sd15-div8-512 where the network is a narrower one."""
        narrower = f"-div{self.divisor}" if self.divisor > 1 else ""
        return f"{self.model.name}{narrower}-{self.side}"

    @property
    def key(self) -> str:
        """By what its records are known: no other workload of the suite has the same."""
        return f"{self.name}/{self.dtype}"

    @property
    def batch(self) -> int:
        """Entries of the network's input."""
        return GUIDANCE if self.suite == "unet" else 1

    @property
    def configuration(self) -> Configuration:
        """The published one, or the one that was made from it."""
        published = self.model.unet if self.suite == "unet" else self.model.vae
        return published if self.divisor == 1 else narrowed(published, self.divisor)

    @property
    def published_parameters(self) -> int | None:
        """How many parameters the network must have; None where it is not the published one."""
        if self.divisor > 1:
            return None
        return self.model.unet_parameters if self.suite == "unet" else self.model.vae_parameters

    @property
    def scaled(self) -> str | None:
        """What is smaller than in the published model, or None."""
        smaller = []
        if self.divisor > 1:
            what = "heads and channels" if self.suite == "unet" else "channels"
            smaller.append(f"{what} 1/{self.divisor} of the published")
        if self.side < self.model.side:
            full = self.model.side
            smaller.append(f"{full}x{full} -> {self.side}x{self.side}")
        return ", ".join(smaller) or None

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values; `batch` counts entries of the network's input."""
        return {
            "name": self.name,
            "key": self.key,
            "model": self.model.source,
            "width": self.side,
            "height": self.side,
            "batch": self.batch,
            "tokens": TEXT_TOKENS if self.suite == "unet" else None,
            "scaled": self.scaled,
        }


def chosen(suite: SuiteName, device: str, quick: bool) -> tuple[Workload, ...]:
    """What `suite` runs on `device` ("cpu" or "cuda"), the smallest first.

    On CUDA these are the published networks at their own sizes, the VAE also in float32, which
    is what --no-half-vae asks for. A CPU would need half a minute for one pass of them: it runs
    narrower ones, which have the published layers and, with SD1.5, the published tokens.
    """
    if device == "cuda":
        sizes = ((SD15, 512),) if quick else ((SD15, 512), (SD15, 768), (SDXL, 1024))
        other = "bfloat16" if suite == "unet" else "float32"
        dtypes = ("float16",) if quick else ("float16", other)
        return tuple(Workload(suite, *size, dtype) for size in sizes for dtype in dtypes)
    if quick:
        return (Workload(suite, SD15, 256, "float32", divisor=8),)
    whole_latent = Workload(suite, SD15, 512, "float32", divisor=8)
    if suite == "vae":
        return (whole_latent,)
    return (whole_latent, Workload(suite, SDXL, 256, "float32", divisor=5))
