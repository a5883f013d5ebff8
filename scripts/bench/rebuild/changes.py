"""What changes between two builds: the inputs of a build as folders, and edits of them."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from uv import find_uv_bin

from scripts.lock import resolve
from scripts.lock.layers import CLIP, SOURCE, WORKER
from scripts.lock.lockfile import Pin, pins
from scripts.workspace import processes
from scripts.workspace.errors import Failure
from scripts.workspace.model import Target, Workspace
from scripts.workspace.paths import ROOT

# Groups that the other order installs apart, too, or not at all.
APART = (WORKER, CLIP, SOURCE)
# Of all that the web UI imports, as the other order installs it: in one step.
TOGETHER = "together"
# With --quick: an edit, a bump on either side of the model, and the model; each group then holds
# so many of the smallest packages.
QUICK = ("handler edit", "RunPod SDK", "one web UI package", "model")
QUICK_PACKAGES = 2

Edit = Callable[[Path, str], None]
"""Changes the copy of a context; the text is one that no build has seen."""


@dataclass(frozen=True)
class Change:
    """One thing that changes: a context by its name, and the edit of a copy of its folder."""

    name: str
    context: str
    edit: Edit


def changes(groups: Mapping[str, Sequence[Pin]], older: Callable[[Pin], Pin]) -> list[Change]:
    """Return every change that is measured, for a profile with these layer groups.

    `older` gives the release before a pin's. Of a group, the package that the change is named
    after moves, or the first when it is not there.
    """
    return [
        Change("handler edit", "app", _append("app/handler.py")),
        Change("launch flag", "app", _replace("app/launch.json", '"argv": [', '"{}",')),
        _package("RunPod SDK", WORKER, "runpod", groups, older),
        _package("one web UI package", "py-webui", "gitpython", groups, older),
        _package("xformers", "py-attention", "xformers", groups, older),
        _package("torch", "py-torch", "torch", groups, older),
        Change("web UI source", "source", _append("**/webui.py")),
        Change("model", "model", _write("models/added.safetensors")),
        Change("system package", "debs", _remove("fonts-dejavu-core_*.deb")),
    ]


def _append(name: str) -> Edit:
    def edit(folder: Path, unseen: str) -> None:
        path = next(folder.glob(name))
        text = path.read_text()
        path.unlink()  # it may be a link to the original
        path.write_text(f"{text}# {unseen}\n")

    return edit


def _replace(name: str, old: str, added: str) -> Edit:
    def edit(folder: Path, unseen: str) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.unlink()
        path.write_text(text.replace(old, old + added.format(unseen), 1))

    return edit


def _write(name: str) -> Edit:
    def edit(folder: Path, unseen: str) -> None:
        (folder / name).write_text(unseen)

    return edit


def _remove(pattern: str) -> Edit:
    def edit(folder: Path, unseen: str) -> None:
        for path in folder.glob(pattern):
            path.unlink()
        # What dpkg is given a second time would come from the cache.
        (folder / "unseen").write_text(unseen)

    return edit


def _package(
    title: str,
    group: str,
    name: str,
    groups: Mapping[str, Sequence[Pin]],
    older: Callable[[Pin], Pin],
) -> Change:
    found = [pin for pin in groups[group] if pin.name == name] or list(groups[group])
    old = found[0]

    def edit(folder: Path, unseen: str) -> None:
        new = older(old)
        moved = [new if pin == old else pin for pin in groups[group]]
        write(folder, {**groups, group: moved}, unseen)

    return Change(title, "locks", edit)


def write(folder: Path, groups: Mapping[str, Sequence[Pin]], unseen: str = "") -> None:
    """Write the packages of each group, and of all that the web UI imports, into `locks`.

    A group that stays as it is keeps its file; another one has the text `unseen` in it.
    """
    one = [name for name in groups if name not in APART]
    together = [pin for name in one for pin in groups[name]]
    if not (folder / TOGETHER).exists():
        shutil.copytree(folder / one[0], folder / TOGETHER)
        lists = [(folder / name / "leave-out").read_text() for name in one]
        (folder / TOGETHER / "leave-out").write_text("".join(lists))
        # The same wherever it is not empty.
        build = max((folder / name / "build.txt").read_text() for name in one)
        (folder / TOGETHER / "build.txt").write_text(build)
    for name, each in {**groups, TOGETHER: together}.items():
        path = folder / name / "packages.txt"
        text = "".join(pin.text for pin in each)
        if not path.exists() or path.read_text() != text:
            path.unlink(missing_ok=True)  # it may be a link to the original
            path.write_text(text + (f"# {unseen}\n" if unseen else ""))


def quick(groups: Mapping[str, Sequence[Pin]]) -> dict[str, list[Pin]]:
    """Return groups of the same names with a few of the smallest packages each, none twice."""
    every = {pin.name: pin for name, each in groups.items() if name not in APART for pin in each}
    wheels = [pin for pin in every.values() if pin.file and pin.file.name.endswith(".whl")]
    small = iter(sorted(wheels, key=lambda pin: pin.file.size if pin.file else 0))
    return {
        name: list(each) if name in APART else list(islice(small, QUICK_PACKAGES))
        for name, each in groups.items()
    }


def older(pin: Pin, target: Target, workspace: Workspace) -> Pin:
    """Return the newest release before a pin's, with its hashes.

    Whether it goes together with the others is not asked: only what it costs to install it is
    measured. Raises Failure when the registry gives none.
    """
    job = resolve.job(workspace, target)
    options = resolve.options(job, workspace, resolve.cutoffs(workspace.lock))
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "older.in")
        asked.write_text(f"{pin.name}<{pin.version}\n")
        done = processes.run(
            [find_uv_bin(), *options, "--no-deps", "--generate-hashes", str(asked)], folder=ROOT
        )
    if done.returncode:
        raise Failure(f"there is no release before {pin.name} {pin.version}:\n{done.stderr}")
    (found,) = pins(done.stdout)
    return found
