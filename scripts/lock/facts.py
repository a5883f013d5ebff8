"""compatibility.toml: which GPUs and drivers the locked wheels run on, as frozen records."""

import enum
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

import tomli
from pydantic import Field, PlainValidator, ValidationError

from scripts.workspace.errors import BadInput
from scripts.workspace.model import Names, Record, nearest
from scripts.workspace.paths import shown

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
    """Return the committed facts; raises BadInput as `parse` does."""
    return parse(FILE.read_text(), shown(FILE))


def parse(text: str, file: str) -> Facts:
    """Return the facts that `text` states.

    Raises BadInput that names `file` and the line or each wrong key, or the GPU of a pool of which
    nothing more is said.
    """
    try:
        facts = Facts.model_validate(tomli.loads(text))
    except tomli.TOMLDecodeError as error:
        raise BadInput(f"{file}: {error}.") from None
    except ValidationError as error:
        raise refusal(error, file) from None
    for pool, gpus in facts.pools.items():
        for gpu in gpus:
            if gpu not in facts.gpus:
                known = nearest(gpu, facts.gpus)
                raise BadInput(f"{file}: pools.{pool}: gpus has no row for {gpu}.{known}")
    return facts


def refusal(error: ValidationError, file: str) -> BadInput:
    """Return what a person is told of a file that is not of its form: a line for each wrong key."""
    lines = [
        f"{file}: {'.'.join(str(part) for part in each['loc']) or 'the file'}: {each['msg']}."
        for each in error.errors()
    ]
    return BadInput("\n".join(lines))
