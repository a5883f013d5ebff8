"""What suite `attn` measures, as data: shapes, types and backends by size and device; no torch."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, get_args

from . import rounds
from .shapes import TEXT_TOKENS, Shape, scale, unet, vae

SizeName = Literal["quick", "default", "full"]
Device = Literal["cpu", "cuda"]

REFERENCE = "sdp"
AGAIN = f"sdp{rounds.AGAIN}"
"""The reference once more, in every round: how far two runs of the same thing seem apart."""

WEBUI = (
    "sdp",
    "sdp-no-mem",
    "xformers",
    "Doggettx",
    "sub-quadratic",
    "V1",
    "InvokeAI",
    "naive",
)
FORCED = (
    "sdp-cudnn",
    "sdp-flash",
    "sdp-efficient",
    "sdp-math",
    "xformers-fa2",
    "xformers-cutlass",
)
"""One kernel of torch's or xformers' choice, and no other."""
VAE_WEBUI = (
    "sdp",
    "sdp-4d",
    "sdp-no-mem",
    "sdp-no-mem-4d",
    "xformers",
    "Doggettx",
    "sub-quadratic",
    "naive",
)
"""V1 and InvokeAI leave the VAE as it is, which is `naive`."""
BACKENDS = tuple(dict.fromkeys((*WEBUI, *VAE_WEBUI, *FORCED)))
DTYPES = ("float16", "bfloat16", "float32")

MODELS = (("sd15", 512), ("sd15", 768), ("sdxl", 1024), ("vae", 512), ("vae", 768), ("vae", 1024))
IMAGES = (1, 2, 4, 8, 16)
PROMPTS = (TEXT_TOKENS, 2 * TEXT_TOKENS, 3 * TEXT_TOKENS)


@dataclass(frozen=True)
class Size:
    """What one size measures on one device.

    A shape of more than `most_scores` scores (for the VAE: `most_vae_scores`) is scaled down to as
    many, and left out where `tokens` is passed by its queries or one head alone has more.
    `seconds_a_shape` is what the budget grows by with each shape and type; None is the suite's own
    budget, `stretch` times.
    """

    models: tuple[tuple[str, int], ...]
    dtypes: tuple[str, ...]
    images: tuple[int, ...] = (1,)
    prompts: tuple[int, ...] = (TEXT_TOKENS,)
    forced: bool = False
    most_scores: int | None = None
    most_vae_scores: int | None = None
    most_tokens: int | None = None
    stretch: float = 1.0
    seconds_a_shape: float | None = None


SIZES: dict[tuple[SizeName, Device], Size] = {
    # A call takes hundredths of a second, or tenths by default.
    ("quick", "cpu"): Size(MODELS[:1], ("float32",), most_scores=2**20, most_vae_scores=2**18),
    ("default", "cpu"): Size(
        (*MODELS[:1], ("vae", 512)), ("float32",), most_scores=2**25, most_vae_scores=2**20
    ),
    ("full", "cpu"): Size(
        MODELS,
        ("float32",),
        IMAGES,
        PROMPTS,
        forced=True,
        most_scores=2**27,
        most_vae_scores=2**24,
        seconds_a_shape=60.0,
    ),
    ("quick", "cuda"): Size(MODELS[:1], ("float16",), most_tokens=1024),
    # A forced kernel costs milliseconds here, and tells whether torch and xformers chose well;
    # on a CPU there is but one fused kernel, which they take anyway.
    ("default", "cuda"): Size(MODELS, ("float16",), forced=True, stretch=2.0),
    ("full", "cuda"): Size(
        MODELS, ("float16", "bfloat16"), IMAGES, PROMPTS, forced=True, seconds_a_shape=6.0
    ),
}


@dataclass(frozen=True)
class Choice:
    """What was asked for; an empty tuple leaves it to the size.

    `shapes` are patterns as of a shell, of all shapes that there are; `cold` empties the caches
    before every call.
    """

    size: SizeName = "default"
    shapes: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    cold: bool = False


@dataclass(frozen=True)
class Job:
    """One shape in one type with the backends that take part in its rounds."""

    shape: Shape
    dtype: str
    backends: tuple[str, ...]

    @property
    def key(self) -> str:
        """By what its records are known."""
        return f"{self.shape.name}/{self.dtype}"

    @property
    def effort(self) -> float:
        """What a call costs, in scores of a small head: products weigh more in a large one."""
        return max(self.shape.scores, self.shape.flops / 256)


def jobs(choice: Choice, device: Device) -> list[Job]:
    """What to measure, the cheapest first.

    So a pause of the machine costs the largest some rounds, and never a small one all of them. No
    two have the same dimensions and type: on a CPU, scaling makes many batches equal.
    """
    size = SIZES[choice.size, device]
    made: dict[tuple[int | str, ...], Job] = {}
    for shape in _shapes(choice, size):
        for dtype in choice.dtypes or _dtypes(shape, size, device):
            names = _backends(choice, shape, size)
            key = (shape.b, shape.h, shape.n, shape.m, shape.d, shape.model == "vae", dtype)
            made.setdefault(key, Job(shape, dtype, names))
    return sorted((job for job in made.values() if job.backends), key=lambda job: job.effort)


def _all_shapes(size: Size) -> Iterator[Shape]:
    """The shapes of a size as the models have them, each once."""
    for model, side in size.models:
        if model == "vae":
            yield vae(side)
            continue
        for images in size.images:
            first, *longer = size.prompts
            yield from unet(model, side, images, first)
            for prompt in longer:
                yield from (s for s in unet(model, side, images, prompt) if s.m == prompt)


def _shapes(choice: Choice, size: Size) -> Iterator[Shape]:
    pool = replace(size, models=MODELS, images=IMAGES, prompts=PROMPTS) if choice.shapes else size
    for shape in _all_shapes(pool):
        limit = size.most_vae_scores if shape.model == "vae" else size.most_scores
        scaled = shape if limit is None else scale(shape, limit)
        if choice.shapes:
            wanted = matches(choice.shapes, shape.name, scaled.name)
        else:
            wanted = (limit is None or scaled.scores <= limit) and (
                size.most_tokens is None or shape.n <= size.most_tokens
            )
        if wanted:
            yield replace(scaled, name=f"{scaled.name}-cold") if choice.cold else scaled


def matches(patterns: Iterable[str], *names: str) -> bool:
    """Whether one of the names, all of one shape, follows one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _dtypes(shape: Shape, size: Size, device: Device) -> tuple[str, ...]:
    """The size's; on a GPU the VAE's also in float32, in which --no-half-vae decodes."""
    if device == "cuda" and shape.model == "vae":
        return (*size.dtypes, "float32")
    return size.dtypes


def _backends(choice: Choice, shape: Shape, size: Size) -> tuple[str, ...]:
    """Those chosen that the shape knows; empty where it knows none of those chosen."""
    usual = VAE_WEBUI if shape.model == "vae" else WEBUI
    names = picked(choice.backends, (*usual, *FORCED), (*usual, *(FORCED if size.forced else ())))
    return (*names, AGAIN) if names else ()


def picked(chosen: Sequence[str], known: Sequence[str], usual: Sequence[str]) -> tuple[str, ...]:
    """The `usual` names, or those chosen of the known ones, always after the first: the reference.

    Empty where none of those chosen is known.
    """
    if not chosen:
        return tuple(usual)
    found = [name for name in known if name in chosen]
    return tuple(dict.fromkeys([known[0], *found])) if found else ()


def known_shapes() -> list[str]:
    """Names of all shapes, as the models have them."""
    everything = replace(SIZES["full", "cuda"], models=MODELS)
    return [shape.name for shape in _all_shapes(everything)]


def is_known_shape(pattern: str) -> bool:
    """Whether the pattern has a shape on any device in any size."""
    return any(jobs(Choice(size, (pattern,)), device) for size, device in SIZES)


def budget_s(choice: Choice, device: Device, base_s: float) -> float:
    """Seconds for all of it; `base_s` is the budget of the default size on a CPU."""
    size = SIZES[choice.size, device]
    if size.seconds_a_shape is None:
        return base_s * size.stretch
    return max(base_s, size.seconds_a_shape * len(jobs(choice, device)))


def most_seconds(choice: Choice, base_s: float) -> float:
    """The larger of the budgets on either device."""
    return max(budget_s(choice, device, base_s) for device in get_args(Device))


LEAST_EFFORT: dict[Device, float] = {"cpu": 2.0**22, "cuda": 2.0**32}
"""What admitting and warming up a shape's backends costs, in the unit of `Job.effort`: on a GPU
more than all but the largest calls."""


def budget_shares(planned: Iterable[Job], device: Device) -> Sequence[float]:
    """Share of the time for each job."""
    return normalized([job.effort + LEAST_EFFORT[device] for job in planned])


def normalized(weights: Sequence[float]) -> Sequence[float]:
    """Shares of one whole, in proportion to the weights."""
    return [weight / sum(weights) for weight in weights]
