"""The labels of an image: what it was made from, for who has nothing but the image.

A label is part of the image's configuration, and so of its digest. What follows from the inputs
alone is a label; the commit and the time of a build are not (see attest.py), or the same inputs
would no longer give the same image.
"""

from collections.abc import Collection

from scripts.build.components import Component, components, digest
from scripts.lock.layers import WORKER
from scripts.workspace.model import Workspace

# Versions that a person asks for first: label, layer group (None: any), package.
VERSIONS = (("torch", None, "torch"), ("xformers", None, "xformers"), ("runpod", WORKER, "runpod"))


def labels(workspace: Workspace, name: str, replaced: Collection[str]) -> dict[str, str]:
    """Return the labels of a profile's image; what --context `replaced` is named, not described."""
    found = components(workspace, name, replaced)
    profile = workspace.profile(name)
    made = {
        "sdkiln.profile": name,
        "sdkiln.lock": f"sha256:{digest(found)}",
        "sdkiln.python": profile.python,
        "sdkiln.stack": profile.stack,
    }
    for label, layer, package in VERSIONS:
        if version := _version(found, layer, package):
            made[f"sdkiln.{label}"] = version
    if profile.source.git and "source" not in replaced:
        # The first of a profile's sources is the web UI, the others are its repositories.
        made["sdkiln.webui"] = workspace.sources[profile.source.git[0]].ref
    if replaced:
        made["sdkiln.replaced"] = ",".join(sorted(replaced))
    for each in found:
        if each.purl.startswith("pkg:docker/"):
            made["org.opencontainers.image.base.name"] = f"{each.name}:{each.version}"
            made["org.opencontainers.image.base.digest"] = f"sha256:{each.sha256[0]}"
    return made


def _version(found: Collection[Component], layer: str | None, package: str) -> str:
    versions = [
        each.version for each in found if each.name == package and layer in (None, each.layer)
    ]
    return versions[0] if versions else ""
