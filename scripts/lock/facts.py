"""compatibility.toml: which GPUs and drivers the locked wheels run on, as frozen records."""

import enum
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

import tomli
from pydantic import Field, PlainValidator

from scripts.workspace.model import Names, Record

FILE = Path(__file__).with_name("compatibility.toml")


class Version(NamedTuple):
    """A CUDA version or a compute capability; ordered by number, so 12.10 comes after 12.9."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


def version(text: object) -> Version:
    """Return the version that a text like "12.8" names; raises ValueError for any other."""
    match = re.fullmatch(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)", str(text), re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is not of the form 12.8")
    return Version(int(match[1]), int(match[2]))


class Binary(NamedTuple):
    """Machine code for a compute capability; `alone` when it uses what no later one has."""

    capability: Version
    alone: bool

    def __str__(self) -> str:
        return f"{self.capability}a" if self.alone else str(self.capability)

    def runs_on(self, gpu: Version) -> bool:
        """Say whether a GPU runs this code as it is.

        CUDA C++ Programming Guide, "Binary Compatibility": on the same major and no lower minor.
        """
        if self.alone:
            return gpu == self.capability
        return gpu.major == self.capability.major and gpu.minor >= self.capability.minor


def binary(text: object) -> Binary:
    """Return the machine code that a text like "8.0" or "9.0a" names, or raise ValueError."""
    return Binary(version(str(text).removesuffix("a")), str(text).endswith("a"))


# Validated from text alone: strict mode would ask for a Version, which TOML has not.
AsVersion = Annotated[Version, PlainValidator(version)]
AsBinary = Annotated[Binary, PlainValidator(binary)]


class Reach(enum.Enum):
    """How a wheel's code gets to run on a GPU."""

    NATIVE = "as it is"
    COMPILED = "from PTX, by the driver, at the first use of each kernel"
    NONE = "not at all"


class Wheel(Record):
    """What a wheel was built for; `source` says where the row was read."""

    cuda: AsVersion
    binary: tuple[AsBinary, ...] = Field(strict=False)
    ptx: tuple[AsVersion, ...] = Field(strict=False)
    source: str

    def reach(self, gpu: Version) -> Reach:
        """Say how this wheel runs on a GPU of that compute capability."""
        if any(code.runs_on(gpu) for code in self.binary):
            return Reach.NATIVE
        return Reach.COMPILED if any(code <= gpu for code in self.ptx) else Reach.NONE


class RunPod(Record):
    """What RunPod's hosts have."""

    cuda: tuple[AsVersion, ...] = Field(strict=False)


class WebUI(Record):
    """What the web UI decides by itself: the capabilities on which it uses xformers."""

    xformers: tuple[AsVersion, AsVersion] = Field(strict=False)


class Facts(Record):
    """All of compatibility.toml; what each table means and its sources stand there."""

    torch: Mapping[str, Wheel]
    xformers: Mapping[str, Wheel]
    full_driver: Mapping[AsVersion, str]
    least_driver: Mapping[str, str]
    first_cuda: Mapping[AsVersion, AsVersion]
    pools: Mapping[str, Names]
    gpus: Mapping[str, AsVersion]
    runpod: RunPod
    webui: WebUI


@cache
def load() -> Facts:
    """Return the committed facts."""
    return Facts.model_validate(tomli.loads(FILE.read_text()))
