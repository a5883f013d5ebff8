"""The attention calls of a Stable Diffusion 1.5 UNet, and what each costs at least."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

HEADS = 8
TEXT_TOKENS = 77
GUIDANCE_BATCH = 2
"""One image with classifier-free guidance is a batch of two."""

CPU_SCORES = 2**25
QUICK_SCORES = 2**20
"""Most scores (B*H*N*M) of one call on a CPU, by default and with --quick: a call then takes
tenths of a second, or hundredths, where the whole shape would take one to two seconds."""

_LEVELS = ((1, 40, 5), (2, 80, 5), (4, 160, 5), (8, 160, 1))
"""(reduction of the latent's side, head_dim, calls of each kind in one step) of the SD1.5 UNet."""


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
    scaled: str | None = None
    """What was made smaller than in the UNet, or None."""

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


def sd15(side: int = 512, batch: int = GUIDANCE_BATCH) -> tuple[Shape, ...]:
    """All distinct attention calls of one SD1.5 step on `side` x `side` pixels (32 calls).

    The latent is an eighth of the side; its pixels are the tokens.
    """
    shapes = []
    for reduction, head_dim, calls in _LEVELS:
        n = (side // 8 // reduction) ** 2
        for kind, m in (("self", n), ("cross", TEXT_TOKENS)):
            name = f"sd15-{side}-{kind}-{n}"
            shapes.append(Shape(name, batch, HEADS, n, m, head_dim, calls))
    return tuple(shapes)


def scale(shape: Shape, max_scores: int) -> Shape:
    """Reduce the batch, then the heads, by halves until at most `max_scores` scores are left.

    n, m and d stay as they are, so each head does its real work. A shape that is still too
    large with one head of one batch comes back with one of each.
    """
    b, h = shape.b, shape.h
    while b * h * shape.n * shape.m > max_scores and (b > 1 or h > 1):
        b, h = (b // 2, h) if b > 1 else (b, h // 2)
    if (b, h) == (shape.b, shape.h):
        return shape
    return replace(
        shape,
        name=f"{shape.name}-b{b}h{h}",
        b=b,
        h=h,
        scaled=f"b {shape.b} -> {b}, h {shape.h} -> {h}; n, m and d are the UNet's",
    )


def chosen(device: str, quick: bool) -> tuple[Shape, ...]:
    """The shapes that suite `attn` runs on `device` ("cpu" or "cuda"), the smallest first.

    So a pause of the machine costs the largest some rounds, and never a small one all of them.
    --quick leaves out self-attention whose single head is already past its limit.
    """
    if device == "cpu":
        limit = QUICK_SCORES if quick else CPU_SCORES
        shapes = [scale(shape, limit) for shape in sd15() if shape.n * shape.m <= limit]
    else:
        shapes = [shape for shape in sd15() if not quick or shape.n <= 1024]
    return tuple(sorted(shapes, key=lambda shape: (shape.scores, shape.n)))


def budget_shares(shapes: Iterable[Shape], least: int = 2**22) -> list[float]:
    """Share of the time for each shape, by its scores; `least` is what start and warm-up cost."""
    weights = [shape.scores + least for shape in shapes]
    return [weight / sum(weights) for weight in weights]


# Peak rates of a device, by the start of its name: FLOP/s in half precision without sparsity,
# bytes/s of its memory, exponentials/s of its special function units.
_CEILINGS = {"NVIDIA H100": (989e12, 3.35e12, 3.9e12)}


def floor_seconds(shape: Shape, itemsize: int, gpu: str | None) -> tuple[float, str] | None:
    """Shortest time that `gpu` could take in half precision and what binds it, if known.

    Source: the data sheet of the H100 SXM5; 132 SMs of 16 exponentials a clock at 1.83 GHz.
    """
    for name, (flops, bandwidth, exponentials) in _CEILINGS.items():
        if gpu is not None and gpu.startswith(name) and itemsize == 2:
            times = {
                "flops": shape.flops / flops,
                "bytes": shape.least_bytes(itemsize) / bandwidth,
                "exps": shape.scores / exponentials,
            }
            bound = max(times, key=lambda key: times[key])
            return times[bound], bound
    return None
