"""What stays out of the image: docker/leave-out.toml, read, checked, and written for the build."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated

import tomli
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from scripts.workspace.errors import BadInput
from scripts.workspace.model import nearest
from scripts.workspace.paths import DOCKER, shown

LIST = DOCKER / "leave-out.toml"
# Debian's packages: the one layer that is not made of a group of Python packages.
SYSTEM = "system"

# A line of the list that the build reads: below a folder, and without a mark of its own.
Pattern = Annotated[str, Field(pattern=r"^[^!/\n][^\n]*$")]


class Rule(BaseModel):
    """Paths that stay out of a layer for one reason; of those, what is in `keep` does not.

    Patterns are as docker/tools/install/leave-out.py reads them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    reason: str = Field(min_length=1)
    paths: tuple[Pattern, ...] = Field(strict=False, min_length=1)
    keep: tuple[Pattern, ...] = Field(strict=False, default=())


Rules = Mapping[str, tuple[Rule, ...]]
_RULES: TypeAdapter[Rules] = TypeAdapter(
    Mapping[str, Annotated[tuple[Rule, ...], Field(strict=False)]]
)


def rules(file: Path = LIST) -> Rules:
    """Return the rules of each layer; raises BadInput for a file that is none of rules."""
    if not file.exists():
        return {}
    try:
        return _RULES.validate_python(tomli.loads(file.read_text()))
    except tomli.TOMLDecodeError as error:
        raise BadInput(f"{shown(file)}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{shown(file)}: {key}: {first['msg']}.") from None


def lists(layers: Collection[str], known: Collection[str], file: Path = LIST) -> dict[str, str]:
    """Return the list of each layer as leave-out.py reads it, empty for one without rules.

    Raises BadInput for rules of a layer that is not `known`; one of another profile may be.
    """
    found = rules(file)
    for layer in found:
        if layer not in known:
            raise BadInput(f"{shown(file)}: there is no layer {layer}.{nearest(layer, known)}")
    return {layer: listing(found.get(layer, ())) for layer in layers}


def listing(of_layer: Iterable[Rule]) -> str:
    """Return one pattern a line; what is kept comes first, because the first match decides."""
    of_layer = tuple(of_layer)
    kept = [f"!{path}\n" for rule in of_layer for path in rule.keep]
    return "".join([*kept, *(f"{path}\n" for rule in of_layer for path in rule.paths)])
