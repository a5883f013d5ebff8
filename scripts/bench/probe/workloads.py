"""What suites `unet` and `vae` run: networks, batches, prompts, types and backends; no torch.

What is asked for comes in the words of suite `attn` (attn_plan): a size, patterns of names, types
and backends.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from .attn_plan import (
    DTYPES,
    FORCED,
    IMAGES,
    MODELS,
    PROMPTS,
    WEBUI,
    Choice,
    Device,
    Size,
    SizeName,
    matches,
    normalized,
    picked,
)
from .configurations import SD15, SDXL, Configuration, Published, narrowed
from .shapes import GUIDANCE_BATCH, LATENT_SIDE, TEXT_TOKENS

SuiteName = Literal["unet", "vae"]

GUIDANCE = GUIDANCE_BATCH
"""One image with classifier-free guidance is a batch of two in the UNet, and of one in the VAE."""
REDUCTION = LATENT_SIDE

REFERENCE: dict[SuiteName, str] = {"unet": "sdp", "vae": "sdp-3d"}
"""What `--opt-sdp-attention` does, and what all else is compared with."""
USUAL: dict[SuiteName, tuple[str, ...]] = {
    "unet": WEBUI,
    "vae": ("sdp-3d", "sdp-4d", "xformers", "Doggettx", "sub-quadratic", "naive"),
}
"""Backends of the default. In the VAE V1 and InvokeAI leave attention as it is, which is `naive`,
and sdp-no-mem reaches the kernel that sdp does: three dimensions leave only one to choose."""
KNOWN: dict[SuiteName, tuple[str, ...]] = {
    "unet": (*USUAL["unet"], *FORCED),
    "vae": (*USUAL["vae"], "sdp-no-mem", "sdp-no-mem-4d", *FORCED),
}
"""All backends; forced kernels get four dimensions in the VAE, as `sdp-4d` does."""

PUBLISHED = {SD15.name: SD15, SDXL.name: SDXL}
EVERY = tuple(each for each in MODELS if each[0] in PUBLISHED)
"""Models and sides of the images that are drawn, as in suite `attn`."""
DIVISORS = {SD15.name: 8, SDXL.name: 5}
"""By what a CPU's networks are narrower."""

_HALVES = ("float16", "bfloat16")
_FULL_GPU = Size(EVERY, _HALVES, IMAGES, PROMPTS, forced=True, seconds_a_shape=120.0)
_FULL_CPU = Size(EVERY, ("float32",), IMAGES, PROMPTS, forced=True, seconds_a_shape=240.0)
SIZES: dict[tuple[SuiteName, SizeName, Device], Size] = {
    # Narrower networks, at most with the published tokens: one pass takes tenths of a second.
    ("unet", "quick", "cpu"): Size(((SD15.name, 256),), ("float32",)),
    ("unet", "default", "cpu"): Size(((SD15.name, 512), (SDXL.name, 256)), ("float32",)),
    ("unet", "full", "cpu"): _FULL_CPU,
    ("vae", "quick", "cpu"): Size(((SD15.name, 256),), ("float32",)),
    ("vae", "default", "cpu"): Size(((SD15.name, 512),), ("float32",)),
    ("vae", "full", "cpu"): replace(_FULL_CPU, prompts=PROMPTS[:1]),
    ("unet", "quick", "cuda"): Size(EVERY[:1], ("float16",)),
    ("unet", "default", "cuda"): Size(EVERY, _HALVES),
    ("unet", "full", "cuda"): _FULL_GPU,
    ("vae", "quick", "cuda"): Size(EVERY[:1], ("float16",)),
    # In float32 --no-half-vae decodes.
    ("vae", "default", "cuda"): Size(EVERY, ("float16", "float32")),
    ("vae", "full", "cuda"): replace(_FULL_GPU, dtypes=DTYPES, prompts=PROMPTS[:1]),
}
"""`seconds_a_shape` is of one workload on average; without it the suite's own budget serves as many
as the default has."""


@dataclass(frozen=True)
class Workload:
    """One network on one size of input; `side` is in pixels, the latent's is an eighth of it."""

    suite: SuiteName
    model: Published
    side: int
    dtype: str
    divisor: int = 1
    """By what channels and heads are divided, to fit a slow device."""
    images: int = 1
    tokens: int = TEXT_TOKENS
    """Of the prompt, which a VAE has not."""

    @property
    def name(self) -> str:
        """As sd15-512, or sd15-div8-512 where the network is a narrower one.

        Then -x4 for four images, and -t154 for a prompt of 154 tokens.
        """
        return self._named(f"-div{self.divisor}" if self.divisor > 1 else "")

    @property
    def published_name(self) -> str:
        """The name that it has at the published width, which stands for it in a choice."""
        return self._named("")

    def _named(self, narrower: str) -> str:
        images = f"-x{self.images}" if self.images > 1 else ""
        prompt = f"-t{self.tokens}" if self.tokens != TEXT_TOKENS else ""
        return f"{self.model.name}{narrower}-{self.side}{images}{prompt}"

    @property
    def key(self) -> str:
        """By what its records are known: no other workload of the suite has the same."""
        return f"{self.name}/{self.dtype}"

    @property
    def batch(self) -> int:
        """Entries of the network's input."""
        return self.images * (GUIDANCE if self.suite == "unet" else 1)

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

    @property
    def effort(self) -> float:
        """What a pass costs, in those of one image of SD1.5 at 512x512.

        Of one size SDXL's UNet costs about 2.2 times as much: 3.0 T multiplications at 1024x1024
        against 0.34 T at 512x512. The VAEs are one network.
        """
        wider = 2.2 if self.suite == "unet" and self.model is SDXL else 1.0
        return wider * self.images * (self.side / SD15.side) ** 2

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values; `batch` counts entries of the network's input."""
        return {
            "name": self.name,
            "key": self.key,
            "model": self.model.source,
            "width": self.side,
            "height": self.side,
            "images": self.images,
            "batch": self.batch,
            "tokens": self.tokens if self.suite == "unet" else None,
            "scaled": self.scaled,
        }


def chosen(suite: SuiteName, choice: Choice, device: Device) -> tuple[Workload, ...]:
    """What `suite` runs on `device`, the cheapest first; empty where no pattern has one.

    On CUDA these are the published networks at their own sizes. A CPU would need half a minute for
    one pass of them: it runs narrower ones, which have the published layers and head_dim. Patterns
    choose among all batches and prompts of every published size, and of those of the chosen size.
    """
    size = SIZES[suite, choice.size, device]
    if choice.shapes:
        models = tuple(dict.fromkeys((*EVERY, *size.models)))
        pool = replace(SIZES[suite, "full", device], models=models, dtypes=size.dtypes)
        found = [
            each
            for each in _all(suite, pool, choice.dtypes, device)
            if matches(choice.shapes, each.published_name, each.name)
        ]
    else:
        found = list(_all(suite, size, choice.dtypes, device))
    return tuple(sorted(found, key=lambda each: each.effort))


def _all(suite: SuiteName, size: Size, dtypes: Sequence[str], device: Device) -> Iterator[Workload]:
    """Every workload of a size, in the types that were chosen or in its own."""
    for model, side in size.models:
        divisor = DIVISORS[model] if device == "cpu" else 1
        for images in size.images:
            for tokens in size.prompts:
                for dtype in dtypes or size.dtypes:
                    yield Workload(suite, PUBLISHED[model], side, dtype, divisor, images, tokens)


def backends(suite: SuiteName, choice: Choice, device: Device) -> tuple[str, ...]:
    """Names of the backends, the reference first; empty where the suite knows none of the chosen.

    `sdp` is the reference in either suite, by whatever name.
    """
    reference, forced = REFERENCE[suite], SIZES[suite, choice.size, device].forced
    asked = [reference if name == "sdp" else name for name in choice.backends]
    return picked(asked, KNOWN[suite], KNOWN[suite] if forced else USUAL[suite])


def known_names(suite: SuiteName) -> list[str]:
    """Names of all workloads at the published width, each once."""
    everything = chosen(suite, Choice("full"), "cuda")
    return list(dict.fromkeys(each.name for each in everything))


def is_known(suite: SuiteName, pattern: str) -> bool:
    """Whether the pattern has a workload on any device in any size."""
    return any(
        chosen(suite, Choice(size, (pattern,)), device)
        for size in get_args(SizeName)
        for device in get_args(Device)
    )


def budget_s(suite: SuiteName, choice: Choice, device: Device, base_s: float) -> float:
    """Seconds for all of it; `base_s` is the budget of the default, of one image and 77 tokens."""
    usual = len(chosen(suite, Choice(), device))
    a_workload = SIZES[suite, choice.size, device].seconds_a_shape or base_s / usual
    return max(base_s, a_workload * len(chosen(suite, choice, device)))


def most_seconds(suite: SuiteName, choice: Choice, base_s: float) -> float:
    """The larger of the budgets on either device."""
    return max(budget_s(suite, choice, device, base_s) for device in get_args(Device))


LEAST_EFFORT = 4.0
"""What building a network and admitting its backends costs, in the unit of `Workload.effort`."""


def budget_shares(planned: Iterable[Workload]) -> Sequence[float]:
    """Share of the time for each workload."""
    return normalized([each.effort + LEAST_EFFORT for each in planned])
