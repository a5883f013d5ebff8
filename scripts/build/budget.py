"""What a layer may weigh: the [build] table of workspace.toml against the layers of an image."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from scripts.build import dockerfile
from scripts.build.record import Layer
from scripts.workspace.errors import BadInput, CheckFailed
from scripts.workspace.model import Build, nearest


def layer_names() -> set[str]:
    """Return what the layers of an image are called: what its last stage starts from and copies."""
    final = dockerfile.stages(dockerfile.read())["image"]
    copied = [name for instruction in final.instructions for name in instruction.takes]
    return {"base", final.parent, *copied}


def check(build: Build, known: Iterable[str]) -> None:
    """Raise BadInput for more layers than are allowed, and a budget of one that no image has."""
    names = set(known)
    if len(names) > build.layers:
        raise BadInput(
            f"docker/Dockerfile makes {len(names)} layers, and build.layers allows {build.layers}.",
            hint="Put two together that move together, or allow more in workspace.toml.",
        )
    if unknown := sorted(build.budget_mb.keys() - names):
        raise BadInput(
            "\n".join(
                f"workspace.toml: build.budget_mb: there is no layer {name}.{nearest(name, names)}"
                for name in unknown
            )
        )


def hold_to_count(image: str, layers: Collection[Layer], allowed: int) -> None:
    """Raise CheckFailed for an image of more layers than `build.layers` allows.

    `check` reads docker/Dockerfile, where a base is one; how many it has of its own, the image
    tells.
    """
    if len(layers) > allowed:
        base = sum(layer.name == "base" for layer in layers)
        raise CheckFailed(
            f"{image} is built, but it has {len(layers)} layers, {base} of them the base's, and "
            f"build.layers allows {allowed}.",
            hint="Put two together that move together, take a base of fewer, or allow more in "
            "workspace.toml.",
        )


def over(layers: Iterable[Layer], budget_mb: Mapping[str, float]) -> Iterator[str]:
    """Yield a sentence for each layer that is larger than its budget, in MB as it is pulled.

    Layers of one name, as a base image has, count as one. Sizes that the engine does not tell are
    in no sum; see `unmeasured`.
    """
    sizes: Counter[str] = Counter()
    for layer in layers:
        sizes[layer.name] += layer.size or 0
    for name, size in sizes.items():
        allowed = budget_mb.get(name)
        if allowed is not None and size > allowed * 1e6:
            yield f"{name} is {size / 1e6:,.1f} MB to pull; its budget is {allowed:,g} MB."


def unmeasured(layers: Iterable[Layer], budget_mb: Mapping[str, float]) -> list[str]:
    """Return the layers with a budget whose size the engine does not tell."""
    return [layer.name for layer in layers if layer.size is None and layer.name in budget_mb]
