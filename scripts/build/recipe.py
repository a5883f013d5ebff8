"""What an image is built from, as data: it says what a change will make BuildKit do again.

A recipe follows from workspace.toml, the lockfiles and docker/ alone. Nothing is fetched for it,
and it is the same on every machine.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from scripts.build import buildx, contexts, debian, dockerfile
from scripts.build.labels import labels
from scripts.lock.layers import SOURCE
from scripts.lock.lockfile import Pin, locked
from scripts.lock.pins import entries
from scripts.workspace.errors import BadInput
from scripts.workspace.files import sha256
from scripts.workspace.model import Profile, Record, Workspace
from scripts.workspace.paths import DOCKER, ROOT

# Contexts by which a step works; what it writes should not depend on them.
MEANS = ("tools", "base")
# What the Dockerfile of a web UI from a folder copies of it; its stages are `source/NAME`.
FOLDER = "files of source"
IMAGE, CHECK = "image", "check"
# What no layer is made of, but the image's digest follows from: labels, and how layers are kept.
FORM = "form"
# Beside packages, what stays out of their layer.
LEFT_OUT = "docker/leave-out.toml"


class Item(Record):
    """A package, file or commit: its version or digest, and its size in bytes, if that is known."""

    value: str
    size: int | None


class Part(Record):
    """A context, or a folder of one that a stage takes by itself: `locks/py-torch`."""

    items: dict[str, Item]

    @property
    def size(self) -> int:
        """The known sizes together, in bytes."""
        return sum(item.size or 0 for item in self.items.values())


class Step(Record):
    """A stage: what it begins from, the text of its instructions, and what these take."""

    parent: str
    instructions: tuple[str, ...]
    takes: tuple[str, ...]


class Recipe(Record):
    """The parts by name, and the stages of docker/Dockerfile in their order.

    Equal recipes give equal images, to the bit.
    """

    parts: dict[str, Part]
    stages: dict[str, Step]

    @property
    def digest(self) -> str:
        """The SHA-256 over all of it."""
        return _digest([self.model_dump_json()])

    def layers(self) -> dict[str, tuple[str, ...]]:
        """Return the layers of the image from the bottom up, each with the parts that fill it."""
        found: dict[str, tuple[str, ...]] = {"base": ("base",)}
        for name in (*self.below(), *self.stages[IMAGE].takes):
            found[name] = tuple(
                each for each in self.behind(name) if each in self.parts and not is_means(each)
            )
        return found

    def behind(self, name: str) -> tuple[str, ...]:
        """Return the stages and parts that go into a stage or part, itself among them."""
        if self._is_part(name):
            return (name,)
        stage = self.stages[name]
        uses = [other for each in (*stage.takes, stage.parent) for other in self.behind(each)]
        return tuple(dict.fromkeys((name, *uses)))

    def below(self) -> list[str]:
        """Return the stages that the image begins from, the lowest first: each lies on the base."""
        found: list[str] = []
        name = self.stages[IMAGE].parent
        while not self._is_part(name):
            found.insert(0, name)
            name = self.stages[name].parent
        return found

    def key(self, name: str) -> str:
        """Return what changes when a stage or part has to be built again, as BuildKit sees it."""
        if self._is_part(name):
            part = self.parts.get(name)
            # An older recipe may lack what is asked for: then it is something else.
            return _digest([part.model_dump_json() if part else ""])
        stage = self.stages[name]
        uses = (stage.parent, *stage.takes)
        return _digest([*stage.instructions, *(self.key(each) for each in uses)])

    def _is_part(self, name: str) -> bool:
        # A stage that --context replaces has no steps.
        return name in self.parts or name not in self.stages


def is_means(part: str) -> bool:
    """Return whether steps work by a part, or by what is in it, and write nothing of it."""
    return part.partition("/")[0] in MEANS


Locks = Callable[[str], Sequence[Pin]]


def recipe(
    workspace: Workspace,
    name: str,
    replaced: Mapping[str, str] | None = None,
    locks: Locks = locked,
) -> Recipe:
    """Return the recipe of a profile; `locks` gives the packages of a lockfile by its name.

    `replaced` are the inputs that --context gives: folders by path, or images by their name.
    """
    profile = workspace.profile(name)
    replaced = replaced or {}
    parts = {"base": _base(profile), **_tools(locks), "app": _app(workspace, name)}
    groups = contexts.groups(workspace, profile, locks)
    for group, listing in contexts.left_out(groups).items():
        packages = groups.get(group, ())
        left_out = Item(value=_digest([listing])[:12], size=0)
        builders = {
            f"{name} (builds sdists)": item.model_copy(update={"size": 0})
            for name, item in _packages(contexts.builders(packages, locks)).items()
        }
        parts[f"locks/{group}"] = Part(
            items={LEFT_OUT: left_out, **builders, **_packages(packages)}
        )
    parts["debs"] = _debian(entries("debian"), "system")
    files = entries("models").get(profile.model, {}).get("files", ())
    parts["model"] = Part(
        items={each["path"]: Item(value=each["sha256"], size=each.get("size")) for each in files}
    )
    built = {}
    if profile.source.folder is None or "source" in replaced:
        parts["source"] = _commits(profile)
        parts.pop(f"locks/{SOURCE}", None)
    else:
        files = contexts.own(ROOT / profile.source.folder)
        if "Dockerfile" not in files:
            raise BadInput(f"{profile.source.folder} has no Dockerfile, by which it is built.")
        built = dockerfile.stages(files["Dockerfile"].read_text())
        copied = dockerfile.copied(files, built.values())
        parts[FOLDER] = _files({name: files[name] for name in sorted(copied)})
    for key, value in replaced.items():
        # Nothing is left of what was told of its folders.
        for inside in [each for each in parts if each.startswith(f"{key}/")]:
            del parts[inside]
        parts[key] = _replaced(value)
    parts[FORM] = _form(workspace, name, replaced)
    stages = _stages(dockerfile.stages(dockerfile.read()), parts)
    return Recipe(parts=parts, stages=stages | _stages_of_source(built, parts))


def _stages(made: Mapping[str, dockerfile.Stage], parts: Mapping[str, Part]) -> dict[str, Step]:
    def taken(name: str) -> str:
        # Of a stage or a context that is no part by folder, all of it counts.
        return name if name in parts else name.partition("/")[0]

    return {
        name: Step(
            parent=stage.parent,
            instructions=tuple(each.text for each in stage.instructions),
            takes=tuple(
                dict.fromkeys(taken(name) for each in stage.instructions for name in each.takes)
            ),
        )
        for name, stage in made.items()
    }


def _stages_of_source(
    made: Mapping[str, dockerfile.Stage], parts: Mapping[str, Part]
) -> dict[str, Step]:
    """Return the stages of the web UI's Dockerfile; its last one is what the image takes."""
    names = {name: f"source/{name}" for name in made}
    if made:
        names[list(made)[-1]] = "source"

    def among(step: Step, stage: dockerfile.Stage) -> Step:
        copies = any(each.copies for each in stage.instructions)
        takes = [names.get(each, each) for each in step.takes]
        return Step(
            parent=names.get(step.parent, step.parent),
            instructions=step.instructions,
            takes=(*takes, FOLDER) if copies else tuple(takes),
        )

    return {names[name]: among(step, made[name]) for name, step in _stages(made, parts).items()}


def _base(profile: Profile) -> Part:
    if profile.base.image is None:
        options = {f"mmdebstrap {each}": Item(value="", size=0) for each in debian.OPTIONS}
        return Part(items=options | _debian(entries("debian"), "base").items)
    pin = entries("images").get(profile.base.image, {})
    digest = pin.get("digest", "not pinned")
    return Part(items={pin.get("reference", profile.base.image): Item(value=digest, size=None)})


def _tools(locks: Locks) -> dict[str, Part]:
    """Return all tools as a part, and each folder and file of them, for steps that mount these."""
    (uv,) = [Item(value=pin.version, size=None) for pin in locks("tools") if pin.name == "uv"]
    items = _files(contexts.tools()).items | {contexts.UV: uv}
    found: dict[str, dict[str, Item]] = {}
    for name, item in items.items():
        for each in (name, *(folder.as_posix() for folder in PurePosixPath(name).parents)):
            found.setdefault("tools" if each == "." else f"tools/{each}", {})[name] = item
    return {name: Part(items=of_part) for name, of_part in found.items()}


def _app(workspace: Workspace, name: str) -> Part:
    return _files(contexts.app(workspace, name))


def _commits(profile: Profile) -> Part:
    commits = entries("sources")
    found = {name: commits.get(name, {}).get("commit", "") for name in profile.source.git}
    return Part(items={name: Item(value=commit, size=None) for name, commit in found.items()})


def _form(workspace: Workspace, name: str, replaced: Mapping[str, str]) -> Part:
    items = {
        "docker/docker-bake.hcl": _file(DOCKER / "docker-bake.hcl"),
        "layers": Item(value=buildx.IMAGE_FORM, size=None),
    }
    for label, value in labels(workspace, name, replaced).items():
        items[f"label {label}"] = Item(value=value, size=None)
    return Part(items=items)


def _packages(pins: Iterable[Pin]) -> dict[str, Item]:
    return {
        pin.name: Item(
            # What is installed, and the hashes that it may have.
            value=f"{pin.version} {_digest(pin.hashes)[:12]}",
            size=pin.file.size if pin.file else None,
        )
        for pin in pins
    }


def _debian(pins: Mapping[str, Mapping[str, Any]], layer: str) -> Part:
    return Part(
        items={
            name: Item(value=f"{pin['version']} {pin['sha256'][:12]}", size=pin["size"])
            for name, pin in pins.items()
            if layer in pin["layers"]
        }
    )


def _files(files: Mapping[str, Path | str]) -> Part:
    return Part(
        items={
            name: _file(source)
            if isinstance(source, Path)
            else Item(value=_digest([source])[:12], size=len(source.encode()))
            for name, source in files.items()
        }
    )


def _file(path: Path) -> Item:
    mode = "+x" if contexts.executable(path) else ""
    return Item(value=sha256(path)[:12] + mode, size=path.stat().st_size)


def _replaced(value: str) -> Part:
    """Return a context that --context gives: a folder by its files' sizes and times."""
    if not value.startswith("/"):
        return Part(items={value: Item(value=value, size=None)})
    items = {}
    for path in sorted(Path(value).rglob("*")):
        name, status = path.relative_to(value), path.lstat()
        if not path.is_dir() and ".git" not in name.parts:
            stamp = f"{status.st_mode:o} {status.st_mtime_ns}"
            items[name.as_posix()] = Item(value=stamp, size=status.st_size)
    return Part(items=items)


def _digest(texts: Iterable[str]) -> str:
    seen = hashlib.sha256()
    for text in texts:
        seen.update(text.encode() + b"\0")
    return seen.hexdigest()
