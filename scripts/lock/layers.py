"""Which layer of the image each package goes to."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from scripts.lock.lockfile import Pin
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Workspace

# The layer groups that are not of the webui environment.
WORKER, CLIP, SOURCE = "py-worker", "py-clip", "py-source"


def split(pins: Iterable[Pin], groups: Mapping[str, Sequence[str]]) -> dict[str, list[Pin]]:
    """Return the packages of each layer group: the first group with a pattern that matches wins.

    The groups together are exactly the lock. Raises BadInput for a package that no group takes and
    for a pattern that takes none.
    """
    found: dict[str, list[Pin]] = {group: [] for group in groups}
    unused = {(group, pattern) for group, patterns in groups.items() for pattern in patterns}
    for pin in pins:
        hit = first_match(pin.name, groups)
        if hit is None:
            raise BadInput(f"workspace.toml: no pattern of [layers] matches {pin.name}.")
        found[hit[0]].append(pin)
        unused.discard(hit)
    if unused:
        listed = ", ".join(f"{group}: {pattern}" for group, pattern in sorted(unused))
        raise BadInput(f"workspace.toml: patterns of [layers] that match no package: {listed}.")
    return found


def layer(workspace: Workspace, environment: str, name: str) -> str | None:
    """Return the layer group of a package of an environment; None outside the image."""
    if environment == "worker":
        return WORKER
    if any(profile.source.environment == environment for profile in workspace.profiles.values()):
        return SOURCE
    if environment != "webui":
        return None
    found = first_match(name, workspace.layers)
    return found[0] if found else None


def first_match(name: str, groups: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """Return the first group, and the pattern in it, that matches a package; None without any."""
    for group, patterns in groups.items():
        for pattern in patterns:
            if fnmatchcase(name, pattern):
                return group, pattern
    return None
