"""Build caches that machines share: a folder, or a repository of a registry.

One cache holds one result, and a build has several (docker-bake.hcl): each target has a cache of
its own, a folder below the given one, or a tag with the target's name behind the given one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.build import registry
from scripts.build.buildx import IMAGE_FORM
from scripts.build.recipe import CHECK, IMAGE


@dataclass(frozen=True)
class Cache:
    """Where the results of a build's steps are kept: `place` is a folder or a reference."""

    place: Path | str

    @property
    def host(self) -> str:
        """The registry's host, or '' for a folder."""
        return "" if isinstance(self.place, Path) else self.place.partition("/")[0]

    def _attributes(self, target: str, key: str) -> str:
        if isinstance(self.place, Path):
            return f"type=local,{key}={self.place / target}"
        return f"type=registry,ref={self.place}-{target}"

    def exported(self, target: str) -> str:
        """Return the attributes with which buildx writes the cache of a target.

        All stages are in it, not the image's layers alone. They are compressed as in the image:
        a layer that comes out of the cache is then the very blob that goes into the image. The
        manifest is one that every registry takes. Of the check its result is enough: what it
        looks at is in the image's cache.
        """
        mode = "min" if target == CHECK else "max"
        written = f"{self._attributes(target, 'dest')},mode={mode},{IMAGE_FORM}"
        return written if isinstance(self.place, Path) else f"{written},image-manifest=true"

    def imported(self, target: str) -> str:
        """Return the attributes with which buildx reads the cache of a target."""
        return self._attributes(target, "src")

    def holds(self, target: str) -> bool:
        """Whether there may be a cache of a target: of a registry, BuildKit finds out."""
        return not isinstance(self.place, Path) or (self.place / target / "index.json").exists()


def parse(option: str, argument: str) -> Cache:
    """Return the cache that an argument names: a folder begins with `/`, `.` or `~`.

    Raises BadInput for what is neither that nor `HOST/NAME[:TAG]`.
    """
    if argument.startswith(("/", ".", "~")):
        return Cache(Path(argument).expanduser().resolve())
    tag = registry.parse(argument, option)
    return Cache(f"{tag.index}/{tag.repository}:{tag.tag}")


def _read(cache: Cache, target: str) -> list[str]:
    # What the check looks at is in the cache of the image.
    wanted = (CHECK, IMAGE) if target == CHECK else (target,)
    return [cache.imported(each) for each in wanted if cache.holds(each)]


def laid_over(
    definition: dict[str, Any], written: Sequence[Cache], read: Sequence[Cache]
) -> dict[str, Any]:
    """Return a bake definition (see bake.py) whose targets write and read these caches."""
    targets = {
        name: target
        if name == "_common"
        else target
        | {"cache-to": [cache.exported(name) for cache in written]}
        | {"cache-from": [each for cache in read for each in _read(cache, name)]}
        for name, target in definition["target"].items()
    }
    return {**definition, "target": targets}
