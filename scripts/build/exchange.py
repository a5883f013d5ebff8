"""What a build shares with other machines: caches, a registry for the image, a builder."""

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.build import cache, registry
from scripts.build.buildx import IMAGE_FORM
from scripts.build.cache import Cache
from scripts.build.engine import Engine
from scripts.lock.images import PLATFORM, Tag
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import nearest


@dataclass(frozen=True)
class Exchange:
    """Caches to write and to read, the tag to push to, and what to attest of the image there."""

    cache_to: Sequence[Cache] = ()
    cache_from: Sequence[Cache] = ()
    push: Tag | None = None
    attest: Sequence[str] = ()

    @property
    def registries(self) -> str:
        """The hosts that something is sent to, for a person to read."""
        tags = [self.push] if self.push else []
        written = [cache.host for cache in self.cache_to if cache.host]
        hosts = dict.fromkeys([*(tag.host for tag in tags), *written])
        return f"the registry {' or '.join(hosts)}" if hosts else "the builder"


NOTHING = Exchange()

CACHES = ("cache-to", "cache-from")
# What each way to call `build` does nothing with.
UNUSED = {
    "target": ("push",),
    # Its container needs the stage in the engine, and a builder would keep it to itself.
    "shell": ("push", *CACHES, "builder"),
    "tree": ("push", *CACHES, "builder"),
    "history": ("push", *CACHES, "builder"),
    "impact": ("push", *CACHES, "builder"),
}


def parse(args: argparse.Namespace) -> Exchange:
    """Return what the arguments of `build` ask for; raises BadInput for what cannot be."""
    for way, unused in UNUSED.items():
        if getattr(args, way) in (None, False):
            continue
        for option in unused:
            if getattr(args, option.replace("-", "_")):
                raise BadInput(f"--{option} has no use with --{way}, and would be passed over.")
    if args.target is not None and args.cache_to:
        raise BadInput(
            "--cache-to keeps a cache of the whole image, and with --target that of a stage alone "
            "would take its place."
        )
    if args.attest and not args.push:
        raise BadInput(
            f"--attest {args.attest[0]}: attestations are kept beside the image in a registry.",
            hint="Add --push HOST/NAME:TAG",
        )
    if args.verify and args.builder and args.push:
        raise BadInput("--verify compares images in the engine; --builder with --push leaves none.")
    return Exchange(
        cache_to=[cache.parse("--cache-to", each) for each in args.cache_to],
        cache_from=[cache.parse("--cache-from", each) for each in args.cache_from],
        push=registry.parse(args.push, "--push") if args.push else None,
        attest=list(dict.fromkeys(args.attest)),
    )


def without_cache(exchange: Exchange) -> Iterator[Path]:
    """Yield the folders of --cache-from in which no target has a cache."""
    for each in exchange.cache_from:
        if isinstance(each.place, Path) and not any(each.place.glob("*/index.json")):
            yield each.place


def built_by(engine: Engine, builder: str) -> Engine:
    """Return the engine with a buildx builder of the user's own in its place.

    Raises BadInput when there is none of that name or it cannot build our platform, Failure when
    it does not answer.
    """
    chosen = replace(engine, builder=builder)
    try:
        said = chosen.buildx("inspect", "--bootstrap", builder)
    except Failure as failure:
        if "no builder" not in failure.message:
            raise Failure(
                f"the builder {builder} does not answer.\n{failure.message}",
                hint=f"docker buildx inspect {builder} shows where it should be.",
            ) from None
        known = _builders(chosen)
        raise BadInput(
            f"--builder {builder}: buildx knows no builder of that name.{nearest(builder, known)}",
            hint="Make it first: docker buildx create --name NAME --driver remote tcp://HOST:PORT",
        ) from None
    if error := re.search(r"^Error:\s*(.*)$", said, re.MULTILINE):
        raise Failure(
            f"the builder {builder} does not answer: {error[1]}",
            hint=f"docker buildx inspect {builder} shows where it should be.",
        )
    platforms = re.findall(r"^Platforms:\s*(.*)$", said, re.MULTILINE)
    if PLATFORM not in re.findall(r"[\w/]+", " ".join(platforms)):
        raise BadInput(
            f"--builder {builder}: it builds for {', '.join(platforms) or 'no platform'}, and "
            f"{PLATFORM} is needed."
        )
    return chosen


def _builders(engine: Engine) -> list[str]:
    lines = engine.buildx("ls").splitlines()[1:]
    return [line.split()[0].rstrip("*") for line in lines if line[:1].strip()]


def laid_over(
    definition: dict[str, Any], exchange: Exchange, engine: Engine, archive: Path
) -> dict[str, Any]:
    """Return a bake definition (see bake.py) with caches and, of a builder, where its image goes.

    A builder has no store that the engine could read: it pushes the image, or writes it to
    `archive`, an OCI layout as a tar.
    """
    made = cache.laid_over(definition, exchange.cache_to, exchange.cache_from)
    image = made["target"]["image"]
    # A stage that is built for itself has no tag: nothing is handed over.
    if engine.builder and image["tags"]:
        if exchange.push:
            image["tags"] = [str(exchange.push)]
            image["output"] = [f"type=image,push=true,{IMAGE_FORM}"]
        else:
            image["output"] = [f"type=oci,dest={archive},{IMAGE_FORM}"]
    return made
