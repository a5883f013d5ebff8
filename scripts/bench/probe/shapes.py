"""The attention calls of Stable Diffusion's U-Nets and VAE, and what each costs at least."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

TEXT_TOKENS = 77
"""A prompt's tokens; longer prompts come in whole chunks of as many."""
GUIDANCE_BATCH = 2
"""One image with classifier-free guidance is a batch of two."""
LATENT_SIDE = 8
"""Pixels along a side of the image to one of the latent."""
VAE_CHANNELS = 512

_LEVELS = {
    "sd15": ((1, 8, 40, 5), (2, 8, 80, 5), (4, 8, 160, 5), (8, 8, 160, 1)),
    "sdxl": ((2, 10, 64, 10), (4, 20, 64, 60)),
}
"""(reduction of the latent's side, heads, head_dim, calls of each kind in one step) by U-Net."""
UNETS = tuple(_LEVELS)


@dataclass(frozen=True)
class Shape:
    """One attention call: q is (b, n, h*d), k and v are (b, m, h*d)."""

    name: str
    b: int
    h: int
    n: int
    m: int
    d: int
    calls_per_step: int
    """In one step of the sampler; for the VAE, in the decoding of one image."""
    model: str
    side: int
    images: int = 1
    scaled: str | None = None
    """What was made smaller than in the model, or None."""

    @property
    def scores(self) -> int:
        """Elements of the attention matrix; also the exponentials to be taken."""
        return self.b * self.h * self.n * self.m

    @property
    def flops(self) -> int:
        """Two matrix products of 2*b*h*n*m*d operations each."""
        return 4 * self.scores * self.d

    def least_bytes(self, itemsize: int) -> int:
        """Bytes that must move: q and the output (n rows), k and v (m rows), once each."""
        return itemsize * self.b * self.h * self.d * (2 * self.n + 2 * self.m)

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def unet(
    model: str, side: int, images: int = 1, text_tokens: int = TEXT_TOKENS
) -> tuple[Shape, ...]:
    """All distinct attention calls of one step of `model` for images of `side` pixels.

    The latent is an eighth of the side; its pixels are the tokens. Names leave out what is usual:
    one image, and a prompt of 77 tokens.
    """
    shapes = []
    suffix = "" if images == 1 else f"-x{images}"
    text = "" if text_tokens == TEXT_TOKENS else f"-t{text_tokens}"
    for reduction, heads, head_dim, calls in _LEVELS[model]:
        n = (side // LATENT_SIDE // reduction) ** 2
        for kind, m, prompt in (("self", n, ""), ("cross", text_tokens, text)):
            name = f"{model}-{side}-{kind}-{n}{suffix}{prompt}"
            batch = GUIDANCE_BATCH * images
            shapes.append(Shape(name, batch, heads, n, m, head_dim, calls, model, side, images))
    return tuple(shapes)


def sd15(side: int = 512, images: int = 1) -> tuple[Shape, ...]:
    """All distinct attention calls of one step of Stable Diffusion 1.5 (32 calls)."""
    return unet("sd15", side, images)


def vae(side: int) -> Shape:
    """The one attention call of the VAE's mid block, which has a single head.

    The web UI decodes the images of a batch one by one, so its batch is 1 (v1.9.3,
    modules/processing.py: decode_latent_batch).
    """
    n = (side // LATENT_SIDE) ** 2
    return Shape(f"vae-{side}-self-{n}", 1, 1, n, n, VAE_CHANNELS, 1, "vae", side)


def scale(shape: Shape, max_scores: int) -> Shape:
    """Reduce the batch, then the heads, by halves until at most `max_scores` scores are left.

    n, m and d stay as they are, so each head does its real work. A shape of several heads that is
    still too large with one head of one batch comes back with one of each; the VAE's, which has but
    one, with fewer queries, of which each does its real work.
    """
    b, h, n = shape.b, shape.h, shape.n
    while b * h * n * shape.m > max_scores and (b > 1 or h > 1):
        b, h = (b // 2, h) if b > 1 else (b, h // 2)
    if shape.b == shape.h == 1:
        n = max(1, n // 2 ** max(0, math.ceil(math.log2(shape.scores / max_scores))))
    if (b, h, n) == (shape.b, shape.h, shape.n):
        return shape
    if n != shape.n:
        name, what = f"{shape.name}-n{n}", f"n {shape.n} -> {n}; m and d are the VAE's"
    else:
        name = f"{shape.name}-b{b}h{h}"
        sizes = {"b": (shape.b, b), "h": (shape.h, h)}
        halved = [f"{of} {old} -> {new}" for of, (old, new) in sizes.items() if old != new]
        what = f"{', '.join(halved)}; n, m and d are the UNet's"
    return replace(shape, name=name, b=b, h=h, n=n, scaled=what)
