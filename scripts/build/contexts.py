"""The named contexts of a build: a folder each for what the Dockerfile takes from outside."""

import hashlib
import os
import shutil
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path

from uv import find_uv_bin

from scripts.build import debian, dockerfile, leave_out, sources
from scripts.build.launch import render
from scripts.lock.layers import CLIP, SOURCE, WORKER, split
from scripts.lock.lockfile import Pin, locked
from scripts.lock.pins import entries
from scripts.models import store
from scripts.workspace.errors import BadInput
from scripts.workspace.files import EPOCH, set_content_time
from scripts.workspace.model import Profile, Workspace
from scripts.workspace.paths import BUILDS, CACHE, DOCKER, ROOT

CLIP_PACKAGE = "clip-anytorch"


def groups(
    workspace: Workspace, profile: Profile, locks: Callable[[str], Sequence[Pin]] = locked
) -> dict[str, list[Pin]]:
    """Return the packages of each layer group of a profile.

    `locks` gives the packages of a lockfile by its name.
    """
    webui = locks(f"webui-{profile.stack}-py{profile.python}")
    found = split(webui, workspace.layers)
    found[WORKER] = list(locks(f"worker-py{profile.python}"))
    found[CLIP] = [pin for pin in webui if pin.name == CLIP_PACKAGE]
    require_stages(workspace.layers, dockerfile.read())
    if profile.source.environment is not None:
        lock = f"{profile.source.environment}-{profile.stack}-py{profile.python}"
        found[SOURCE] = list(locks(lock))
    return found


def require_stages(groups: Iterable[str], text: str) -> None:
    """Raise BadInput for a layer group whose packages a Dockerfile of this text would leave out."""
    made = dockerfile.stages(text)

    def without(stage: str, taken: str) -> bool:
        return all(taken not in each.takes for each in made[stage].instructions)

    for group in sorted(groups):
        where = f"workspace.toml: layers.{group}: docker/Dockerfile"
        if group not in made:
            raise BadInput(f"{where} has no stage of that name.")
        mount = "--mount=type=bind,from="
        needed = (
            (group, f"locks/{group}", f"{mount}locks,source={group},target=/lock"),
            ("image", group, f"COPY --link --from={group} /layer /"),
            ("check", f"{group}/layer", f"{mount}{group},source=/layer,target=/layers/{group}"),
        )
        for stage, taken, line in needed:
            if without(stage, taken):
                raise BadInput(
                    f"{where} does not take it in stage {stage}.", hint=f"Add to it: {line}"
                )


def builders(
    packages: Iterable[Pin], locks: Callable[[str], Sequence[Pin]] = locked
) -> Sequence[Pin]:
    """Return the packages by which the sdists among `packages` are built.

    None where all are wheels: what builds sdists is then no input of their layer.
    """
    sdist = any(pin.file is None or not pin.file.name.endswith(".whl") for pin in packages)
    return locks("build") if sdist else ()


def left_out(layers: Iterable[str]) -> dict[str, str]:
    """Return what stays out of each layer, of these and of the system's, as the build reads it."""
    return leave_out.lists([leave_out.SYSTEM, *layers], known={SOURCE, *stages()})


def stages() -> set[str]:
    """Return the names of docker/Dockerfile's stages."""
    return set(dockerfile.stages(dockerfile.read()))


def replaceable() -> set[str]:
    """Return what `--context` may replace: docker/Dockerfile's stages and contexts."""
    found = set()
    for stage in dockerfile.stages(dockerfile.read()).values():
        taken = [part for each in stage.instructions for part in each.takes]
        found |= {stage.name, stage.parent, *(part.partition("/")[0] for part in taken)}
    return found - {"check", "image"}


# Where uv comes to lie among the tools.
UV = "install/uv"


def tools() -> dict[str, Path]:
    """Return the scripts by which the steps work; uv comes beside them."""
    return own(DOCKER / "tools")


def app(workspace: Workspace, name: str) -> dict[str, Path | str]:
    """Return the files of a profile's `app`, given by path or by content."""
    return {**own(DOCKER / "worker"), "launch.json": render(workspace, name)}


# Where the files of a context lie below its root, which becomes the image's. Were they copied to
# /models/ and so on instead, COPY --link would make these folders with the time of the build.
PLACES = {"model": "models", "source": "srv/webui", "app": "app"}


REPLACED = "replaced"


def forget_replaced(profile: str) -> None:
    """Remove what --context gave to the last build: its links keep the files that are deleted."""
    shutil.rmtree(BUILDS / profile / REPLACED, ignore_errors=True)


def replacing(profile: str, name: str, folder: Path) -> Path:
    """Return a context from a folder that `--context` names, in the place of ours.

    It is the profile's own: another profile may be built at the same time. Files are linked, not
    copied, where that can be. A checkout's .git is no part of its files, and the address of a
    remote may hold a token.
    """
    made = BUILDS / profile / REPLACED / name
    shutil.rmtree(made, ignore_errors=True)
    place = made / PLACES.get(name, ".")
    shutil.copytree(
        folder,
        place,
        symlinks=True,
        ignore=shutil.ignore_patterns(".git"),
        copy_function=_link_or_copy,
    )
    return _same_folders(made)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)


def executable(path: Path) -> bool:
    """Return what git keeps of a file's mode, and we in a context: whether it is a program."""
    return bool(path.stat().st_mode & 0o100)


class Contexts:
    """The folder of a profile's contexts, and what is put there."""

    def __init__(self, name: str) -> None:
        """Start with an empty folder for the contexts of the profile `name`."""
        self.folder = BUILDS / name / "contexts"
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, context: str, files: Mapping[str, Path | str]) -> Path:
        """Make the folder of a context from files, given by path or by content.

        Modes and times are the same on every machine, see `set_content_time`.
        """
        folder = self.folder / context
        folder.mkdir(parents=True)
        for name, source in files.items():
            path = folder / PLACES.get(context, ".") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = source.read_bytes() if isinstance(source, Path) else source.encode()
            path.write_bytes(content)
            path.chmod(0o755 if isinstance(source, Path) and executable(source) else 0o644)
            set_content_time(path, hashlib.sha256(content).hexdigest())
        return _same_folders(folder)

    def link(self, context: str, source: Path) -> Path:
        """Make the folder of a context from a folder's files, without copying them."""
        folder = self.folder / context
        place = folder / PLACES.get(context, ".")
        shutil.copytree(source, place, copy_function=_link_or_copy)
        return _same_folders(folder)


def _same_folders(folder: Path) -> Path:
    """Give a folder and those below it the modes and times that they have everywhere."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
            os.utime(path, (EPOCH, EPOCH))
    return folder


def require_pins(profile: Profile, replaced: Container[str]) -> None:
    """Raise BadInput for a source or a model of a profile that is neither pinned nor `replaced`."""
    wanted = {"sources": profile.source.git, "models": (profile.model,)}
    for table, names in wanted.items():
        for name in names if table.removesuffix("s") not in replaced else ():
            if name not in entries(table):
                raise BadInput(f"{table}.{name} is not pinned.", hint="Run ./nox -s lock")


def inputs(workspace: Workspace, name: str, replaced: Iterable[str]) -> dict[str, Path]:
    """Bring everything that a profile is built from, except what is `replaced`; return folders."""
    profile = workspace.profile(name)
    replaced = set(replaced)
    require_pins(profile, replaced)
    contexts = Contexts(name)
    # Where the contexts that are built themselves are handed over.
    made = {"layouts": contexts.folder / "layouts"}
    wanted = {"debs", "source", "model", "app", "rootfs"} - replaced

    made["tools"] = contexts.put("tools", {**tools(), UV: Path(find_uv_bin())})
    packages_of = groups(workspace, profile)
    lists = left_out(packages_of)
    locks: dict[str, Path | str] = {f"{layer}/leave-out": text for layer, text in lists.items()}
    for group, packages in packages_of.items():
        locks[f"{group}/packages.txt"] = "".join(pin.text for pin in packages)
        locks[f"{group}/build.txt"] = "".join(pin.text for pin in builders(packages))
    made["locks"] = contexts.put("locks", locks)
    debian_pins = entries("debian")
    if "debs" in wanted:
        files = debian.packages(debian_pins, "system")
        made["debs"] = contexts.put("debs", {file.name: file for file in files})
    if "rootfs" in wanted and profile.base.bootstrap and "base" not in replaced:
        made["rootfs"] = contexts.folder / "rootfs"
        _rootfs(made["rootfs"], debian_pins)
    if "model" in wanted:
        made["model"] = contexts.link(
            "model", store.folder(profile.model, workspace.models[profile.model])
        )
    if "source" in wanted:
        if profile.source.folder is not None:
            made["source"] = contexts.put("stand-in", own(ROOT / profile.source.folder))
        else:
            made["source"] = contexts.put("source", _git_source(workspace, profile))
    if "app" in wanted:
        made["app"] = contexts.put("app", app(workspace, name))
    return made


def _rootfs(folder: Path, debian_pins: Mapping[str, Mapping[str, object]]) -> None:
    text = repr(sorted((pin["path"], pin["sha256"]) for pin in debian_pins.values()))
    key = hashlib.sha256(text.encode() + Path(debian.__file__).read_bytes()).hexdigest()[:16]
    tar = CACHE / "rootfs" / f"{key}.tar"
    if not tar.exists():
        print("Bootstrapping the sandbox's Debian (once per set of packages).", flush=True)
        tar.parent.mkdir(parents=True, exist_ok=True)
        debian.bootstrap(debian.packages(debian_pins, "base"), tar)
    folder.mkdir(parents=True)
    os.link(tar, folder / "rootfs.tar")


def _tree(folder: Path) -> dict[str, Path]:
    """Return the files below a folder by relative path."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*"))}
    return {name.as_posix(): path for name, path in paths.items() if path.is_file()}


def own(folder: Path) -> dict[str, Path]:
    """Return the files of a folder of ours, without what linters and Python leave there."""
    return {
        name: path
        for name, path in _tree(folder).items()
        if not any(part.startswith((".", "__pycache__")) for part in Path(name).parts)
    }


def _git_source(workspace: Workspace, profile: Profile) -> dict[str, Path | str]:
    found: dict[str, Path | str] = {}
    commits = entries("sources")
    for name in profile.source.git:
        source = workspace.sources[name]
        folder = sources.checkout(name, commits[name]["commit"], source.origins)
        for path, file in _tree(folder).items():
            found[(Path(source.path) / path).as_posix()] = file
    return found
