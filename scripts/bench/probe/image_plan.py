"""Which pictures suite `image` draws: sizes, batches and prompts, and the time for each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .attn_plan import Device

SizeName = Literal["quick", "default", "full"]

SIDES = (512, 768, 1024)
BATCHES = (1, 2, 4, 8, 16)
TOKENS = (77, 154, 231)
"""What the text encoder is given for prompts of up to 75, 150 and 225 tokens."""
STEPS = 20
LADDER = ((64, 4), (128, 4), (256, 4), (512, 4), (512, 8), (512, STEPS))
"""(side in pixels, steps) in the place of 512 in 20, from what a slow machine can do."""

CHUNK = 75
BEGINNING = "a lighthouse on a cliff"
WORDS = ("red", "house", "blue", "sky", "green", "tree", "white", "dog", "black", "cat")
"""Each is one token of CLIP's vocabulary, so words count tokens."""

STRETCH = {
    ("default", "cpu"): 1.0,
    ("default", "cuda"): 7.5,
    ("full", "cpu"): 15.0,
    ("full", "cuda"): 180.0,
}
"""How many times the default budget of a CPU (40 s) a size takes on a device: pictures of 512 on a
GPU take tenths of a second, and seconds in batches."""
FIRST_SHARE = 0.4
"""Part of the time for the single picture of the plain prompt: the case that verdicts are for."""

_NAME = re.compile(r"txt2img-(?P<side>\d+)-(?P<steps>\d+)steps")


@dataclass(frozen=True)
class Pictures:
    """What one request asks for; `side` is in pixels, `wanted` the side and steps it stands for."""

    side: int
    steps: int
    batch: int = 1
    tokens: int = TOKENS[0]
    wanted: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """As txt2img-512-20steps, then -x4 for a batch of four and -t154 for a longer prompt."""
        batch = f"-x{self.batch}" if self.batch > 1 else ""
        tokens = f"-t{self.tokens}" if self.tokens > TOKENS[0] else ""
        return f"txt2img-{self.side}-{self.steps}steps{batch}{tokens}"

    @property
    def prompt(self) -> str:
        """A prompt that the web UI cuts into pieces of 75 tokens, of which the last is half full.

        So a word that were two tokens after all would not make a piece more.
        """
        pieces = TOKENS.index(self.tokens)
        count = pieces * CHUNK + CHUNK // 2 if pieces else 8
        first = BEGINNING.split()
        rest = [WORDS[index % len(WORDS)] for index in range(count - len(first))]
        return " ".join([*first, *rest])

    @property
    def work(self) -> float:
        """What a step costs against one of a single picture of 512."""
        return (self.side / SIDES[0]) ** 2 * self.batch

    @property
    def scaled(self) -> str | None:
        """What is smaller than it should be, or None."""
        if self.wanted in (None, (self.side, self.steps)):
            return None
        assert self.wanted is not None
        side, steps = self.wanted
        return (
            f"{side}x{side} in {steps} steps -> {self.side}x{self.side} in {self.steps}, "
            "to fit the time"
        )

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return {
            "name": self.name,
            "width": self.side,
            "height": self.side,
            "steps": self.steps,
            "batch": self.batch,
            "tokens": self.tokens,
            "scaled": self.scaled,
        }


def drawn(size: SizeName, device: Device) -> SizeName:
    """The size whose pictures there is time for: in the default's, a CPU draws the plain one alone.

    With the others beside it, it has too few rounds for any verdict.
    """
    return "quick" if (size, device) == ("default", "cpu") else size


def planned(size: SizeName, side: int, steps: int) -> list[Pictures]:
    """What a size draws where `side` and `steps` stand for 512 in 20; the plain picture first.

    Where there is time, what the community's tables hold comes first: the batches.
    """
    sides = SIDES if size == "full" else SIDES[:1]
    made = [Pictures(each, STEPS) for each in sides]
    if size != "quick":
        made += [Pictures(each, STEPS, batch) for each in sides for batch in BATCHES[1:]]
        made += [Pictures(each, STEPS, 1, tokens) for each in sides for tokens in TOKENS[1:]]
    if size == "default":
        made += [Pictures(each, STEPS) for each in SIDES[1:]]
    return [
        replace(each, side=each.side * side // SIDES[0], steps=steps, wanted=(each.side, STEPS))
        for each in made
    ]


def shares(plan: Sequence[Pictures]) -> list[float]:
    """The part of the time for each; the more work, the more of it, and the fewer rounds."""
    if len(plan) == 1:
        return [1.0]
    weights = [each.work**0.5 for each in plan[1:]]
    return [FIRST_SHARE, *((1 - FIRST_SHARE) * each / sum(weights) for each in weights)]


def first_of(name: str) -> tuple[int, int]:
    """Side and steps of the plain picture, by its name. Raises ValueError for another."""
    found = _NAME.match(name)
    if found is None:
        raise ValueError(f"{name!r} is no name of pictures")
    return int(found["side"]), int(found["steps"])
