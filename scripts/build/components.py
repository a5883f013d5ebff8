"""What an image consists of by its pins: packages, sources, a model, the base."""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from scripts.build import contexts
from scripts.lock.layers import CLIP, SOURCE
from scripts.lock.pins import entries
from scripts.workspace.model import Model, Workspace


@dataclass(frozen=True)
class Component:
    """A pinned input that is in the image, in the layer of that name.

    `purl` names it for tools (https://github.com/package-url/purl-spec). `sha256` are the files
    that are allowed for it, in hexadecimal: of a package, the image holds one of them.
    """

    layer: str
    name: str
    version: str
    purl: str
    sha256: tuple[str, ...] = ()


def components(workspace: Workspace, name: str, replaced: Collection[str]) -> list[Component]:
    """Return what is in the image of a profile, by layer and name.

    What --context has `replaced` is left out, because nothing is known of it.
    """
    found = [*_packages(workspace, name), *_debian(workspace, name), *_base(workspace, name)]
    found += [*_sources(workspace, name), *_model(workspace, name)]
    gone = set(replaced)
    if "debs" in gone:
        gone.add("system")
    if "locks" in gone:
        gone |= {each.layer for each in _packages(workspace, name)}
    return sorted((each for each in found if each.layer not in gone), key=astuple)


def digest(found: Collection[Component]) -> str:
    """Return the SHA-256 over them, in hexadecimal: of the lock, as far as an image has it."""
    text = json.dumps([astuple(each) for each in found])
    return hashlib.sha256(text.encode()).hexdigest()


def _packages(workspace: Workspace, name: str) -> Iterator[Component]:
    for group, pins in contexts.groups(workspace, workspace.profile(name)).items():
        if group == CLIP:  # its vocabulary alone is in the image
            continue
        for pin in pins:
            yield Component(
                layer="source" if group == SOURCE else group,
                name=pin.name,
                version=pin.version,
                purl=f"pkg:pypi/{pin.name}@{quote(pin.version, safe='')}",
                sha256=tuple(sorted(each.removeprefix("sha256:") for each in pin.hashes)),
            )


def _debian(workspace: Workspace, name: str) -> Iterator[Component]:
    bootstrapped = workspace.profile(name).base.bootstrap
    for package, pin in entries("debian").items():
        for layer in pin["layers"]:
            if layer == "base" and not bootstrapped:
                continue
            architecture = PurePosixPath(pin["path"]).stem.rpartition("_")[2]
            version = quote(pin["version"], safe="")
            about = f"arch={architecture}&distro={workspace.debian.suite}"
            purl = f"pkg:deb/debian/{package}@{version}?{about}"
            yield Component(layer, package, pin["version"], purl, (pin["sha256"],))


def _base(workspace: Workspace, name: str) -> Iterator[Component]:
    image = workspace.profile(name).base.image
    pin = entries("images").get(image or "")
    if pin is not None:
        repository, _, tag = pin["reference"].rpartition(":")
        purl = f"pkg:docker/{repository}@{quote(pin['digest'], safe='')}?tag={tag}"
        yield Component("base", repository, tag, purl, (pin["digest"].removeprefix("sha256:"),))


def _sources(workspace: Workspace, name: str) -> Iterator[Component]:
    commits = entries("sources")
    for source in workspace.profile(name).source.git:
        if source not in commits:
            continue
        commit = commits[source]["commit"]
        origin = workspace.sources[source].origins[0]
        yield Component("source", source, commit, _git_purl(source, origin, commit))


def _git_purl(name: str, origin: str, commit: str) -> str:
    address = urlsplit(origin)
    if address.hostname == "github.com":
        return f"pkg:github{address.path.removesuffix('.git').lower()}@{commit}"
    return f"pkg:generic/{name}@{commit}?vcs_url={quote(f'git+{origin}', safe='')}"


def _model(workspace: Workspace, name: str) -> Iterator[Component]:
    model = workspace.profile(name).model
    pin: dict[str, Any] = entries("models").get(model, {})
    for file in pin.get("files", ()):
        purl = _model_purl(workspace.models[model], model, pin.get("revision", ""), file)
        version = pin.get("revision", "")
        yield Component("model", f"{model}/{file['path']}", version, purl, (file["sha256"],))


def _model_purl(record: Model, name: str, revision: str, file: dict[str, Any]) -> str:
    if record.huggingface is None:
        return f"pkg:generic/{name}?checksum=sha256:{file['sha256']}#{file['path']}"
    version = f"@{revision}" if revision else ""
    return f"pkg:huggingface/{record.huggingface}{version}#{file['path']}"
