"""The labels of an image: what it was made from, for who has nothing but the image.

A label is part of the image's configuration, and so of its digest. What follows from the inputs
alone is a label; the commit and the time of a build are not (see attest.py), or the same inputs
would no longer give the same image.
"""

from collections.abc import Collection

from scripts.build.parts import Part, digest, parts
from scripts.lock.layers import WORKER
from scripts.workspace.model import Workspace

# Versions that a person asks for first: label, layer group (None: any), package.
VERSIONS = (("torch", None, "torch"), ("xformers", None, "xformers"), ("runpod", WORKER, "runpod"))


def labels(workspace: Workspace, name: str, replaced: Collection[str]) -> dict[str, str]:
    """Return the labels of a profile's image; what --context `replaced` is named, not described."""
    found = parts(workspace, name, replaced)
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
    for part in found:
        if part.purl.startswith("pkg:docker/"):
            made["org.opencontainers.image.base.name"] = f"{part.name}:{part.version}"
            made["org.opencontainers.image.base.digest"] = f"sha256:{part.sha256[0]}"
    return made


def _version(found: Collection[Part], layer: str | None, package: str) -> str:
    versions = [
        part.version for part in found if part.name == package and layer in (None, part.layer)
    ]
    return versions[0] if versions else ""
