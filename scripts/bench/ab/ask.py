"""What a session of two locks is asked: which locks, and what to measure with them."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, get_args

from scripts.bench import attn, networks
from scripts.bench.probe.attn_plan import Choice, SizeName
from scripts.bench.probe.rounds import AGAIN
from scripts.workspace.errors import BadInput

SuiteName = Literal["attn", "unet", "vae"]
COLD = "-cold"
"""Ends the names of shapes that were measured with cold caches."""


@dataclass(frozen=True)
class Side:
    """A lock of the webui environment.

    `name` is where it came from, for people; `text` is the whole lockfile. `probe` is the lockfile
    of what the probe imports beside that environment, empty where there is none.
    """

    name: str
    text: str
    probe: str = ""

    @property
    def sha256(self) -> str:
        """Of the webui lockfile, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Ask:
    """What to measure; `budget_s` is in seconds, for all of it but the installations.

    `cases` are the only ones that get a verdict, all if it is empty.
    """

    suite: SuiteName
    budget_s: float
    seed: int = 1
    choice: Choice = field(default_factory=Choice)
    cases: frozenset[str] = frozenset()


def about(
    cases: Collection[str], budget_s: float, seed: int = 1, size: SizeName = "default"
) -> list[Ask]:
    """Return what to ask, one for each suite, so that these cases of a run are measured again.

    `size` is the run's: the names of scaled shapes follow from it. Each suite gets an equal part of
    the budget. Raises BadInput for a case that no probe knows.
    """
    known = {name.partition("/")[0] for name in cases}
    if unknown := known - set(get_args(SuiteName)):
        raise BadInput(f"cases of {', '.join(sorted(unknown))} cannot be measured in turns.")
    return [
        Ask(
            suite=suite,
            budget_s=budget_s / len(known),
            seed=seed,
            choice=_choice(suite, names, size),
            cases=frozenset(names),
        )
        for suite in get_args(SuiteName)
        if (names := sorted(name for name in cases if name.startswith(f"{suite}/")))
    ]


def _choice(suite: SuiteName, cases: Collection[str], size: SizeName) -> Choice:
    """The least choice of a suite that has all these cases, whose names are of one form."""
    parts = [name.split("/") for name in cases]
    if wrong := [name for name, part in zip(cases, parts, strict=True) if len(part) != 4]:
        raise BadInput(f"{wrong[0]!r} is no case of the suite {suite}.")
    _, shapes, dtypes, backends = (tuple(dict.fromkeys(each)) for each in zip(*parts, strict=True))
    choice = Choice(
        size,
        shapes=tuple(shape.removesuffix(COLD) for shape in shapes),
        backends=tuple(dict.fromkeys(name.removesuffix(AGAIN) for name in backends)),
        dtypes=dtypes,
        cold=any(shape.endswith(COLD) for shape in shapes),
    )
    return checked(suite, choice)


def checked(suite: SuiteName, choice: Choice) -> Choice:
    """Return the choice. Raises BadInput for a name in it that the suite does not know."""
    return attn.checked(choice) if suite == "attn" else networks.checked(suite, choice)
