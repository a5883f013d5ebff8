"""Recipes of what is not here: of another commit, and of versions that are not locked."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import tomli
import tomli_w
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from scripts.build.recipe import Locks, Recipe
from scripts.lock import forward, resolve
from scripts.lock.lockfile import Pin, locked, pins
from scripts.workspace.errors import BadInput
from scripts.workspace.git import git
from scripts.workspace.model import Target, Workspace, nearest, targets
from scripts.workspace.paths import ROOT

# What an image is made of, and by; its source may have an environment of its own beside these.
IN_IMAGES = ("webui", "worker", "build", "tools")
# What is run among the inputs of another commit.
TELL = """
import sys
from scripts.build.recipe import recipe
from scripts.workspace.errors import Failure
from scripts.workspace.model import load
try:
    print(recipe(load(), sys.argv[1]).model_dump_json())
except Failure as failure:
    sys.exit(failure.message)
"""


def at(ref: str, profile: str) -> Recipe:
    """Return the recipe that a profile had at a git ref.

    It is told by the programs of today from that commit's inputs. Raises BadInput for a ref that
    is not there, and for inputs that these programs do not understand.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _unpack(ref, folder)
        _with_bench_of_now(folder)
        shutil.rmtree(folder / "scripts", ignore_errors=True)
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        done = subprocess.run(
            [sys.executable, "-c", TELL, profile], cwd=folder, capture_output=True, text=True
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
            raise BadInput(
                f"what {profile} was built from at {ref} cannot be told: {last}",
                hint="Compare with a later commit, or without one: with the last build.",
            )
        return Recipe.model_validate_json(done.stdout)


def _unpack(ref: str, folder: Path) -> None:
    commit = git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", folder=ROOT)
    if commit.returncode:
        raise BadInput(f"git knows no commit {ref}.", hint="Name a commit, a branch or a tag.")
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit.stdout.strip()],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")


def _with_bench_of_now(folder: Path) -> None:
    """Put today's [bench] into an unpacked workspace.toml: its rules change, and no image is of it.

    A file that is missing or is no TOML stays as it is: who reads it next says so.
    """
    file = folder / "workspace.toml"
    with suppress(FileNotFoundError, ValueError):
        then = tomli.loads(file.read_text())
        now = tomli.loads((ROOT / "workspace.toml").read_text())
        file.write_text(tomli_w.dumps({**then, "bench": now["bench"]}))


def locks(workspace: Workspace, profile: str, settings: Sequence[str]) -> Locks:
    """Return the locks as they would be with other versions, given as ENVIRONMENT.PACKAGE=VERSION.

    What need not move stays as it is locked. Nothing is written. Raises BadInput for a setting that
    names nothing, and what the resolver raises for versions that do not go together.
    """
    given = [_setting(workspace, text) for text in settings]
    wanted = dict(given)
    if len(wanted) < len(given):
        raise BadInput("--set gives one package two versions.")
    fitting = _in_image(workspace, profile)
    used = {target.environment for target in fitting}
    for environment, _ in wanted:
        if environment not in used:
            raise BadInput(
                f"--set {environment}: nothing of it comes into the image of {profile}; known are "
                f"{', '.join(sorted(used))}."
            )
    moving = [
        package
        for (environment, package), version in wanted.items()
        if _locked(fitting, environment, package) != {version}
    ]
    if not moving:
        return locked
    ahead = {**workspace.lock.ahead, **dict.fromkeys(moving, forward.last_day())}
    lock = workspace.lock.model_copy(update={"ahead": ahead})
    made = _resolved(workspace.model_copy(update={"lock": lock}), fitting, wanted)

    def found(name: str) -> Sequence[Pin]:
        return made[name] if name in made else locked(name)

    return found


def _in_image(workspace: Workspace, profile: str) -> list[Target]:
    """Return the locks of which an image is made, and by which."""
    chosen = workspace.profile(profile)
    used = {*IN_IMAGES, *filter(None, [chosen.source.environment])}
    return [
        target
        for target in targets(workspace)
        if target.environment in used
        and target.stack in (None, chosen.stack)
        and target.python in ("", chosen.python)
    ]


Wanted = Mapping[tuple[str, str], str]


def _resolved(
    workspace: Workspace, fitting: Sequence[Target], wanted: Wanted
) -> dict[str, list[Pin]]:
    """Return the packages of each lock that the wanted versions concern, by its name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "requirements")
        shutil.copytree(ROOT / "requirements", folder)
        jobs = []
        for target in fitting:
            extended = workspace.environments[target.environment].extends
            mine = [each for each in wanted if each[0] in (target.environment, extended)]
            if mine:
                task = resolve.job(workspace, target)
                versions = {
                    package: wanted[environment, package]
                    for environment, package in mine
                    if environment == target.environment
                }
                files = _edited(task.files, folder, versions)
                jobs.append(replace(task, files=files, preferred=tuple(locked(target.name))))
        try:
            compiled = resolve.compile_all(jobs, workspace)
        except BadInput as refused:
            raise BadInput(
                refused.message.replace(str(folder), "requirements"),
                hint="No lock can have these versions.",
            ) from None
    return {lock.path.stem: _as_locked(lock.path.stem, pins(lock.body)) for lock in compiled}


def _as_locked(name: str, resolved: Iterable[Pin]) -> list[Pin]:
    """Return a lock's packages, those whose version stays as they are locked.

    The registry may have come to show more files of one since, which no lock would take up.
    """
    there = {pin.requirement: pin for pin in locked(name)}
    return [there.get(pin.requirement, pin) for pin in resolved]


def named(workspace: Workspace, settings: Sequence[str]) -> frozenset[str]:
    """Return the packages that settings name; raises BadInput for one that is none."""
    return frozenset(
        package for (_, package), _ in (_setting(workspace, each) for each in settings)
    )


def _locked(locks: Sequence[Target], environment: str, package: str) -> set[str]:
    """Return the versions of a package that an environment's locks hold.

    Raises BadInput for one that they do not hold, as a misspelt one.
    """
    mine = [target.name for target in locks if target.environment == environment]
    found = [pin for name in mine for pin in locked(name)]
    if versions := {pin.version for pin in found if pin.name == package}:
        return versions
    close = nearest(package, {pin.name for pin in found})
    raise BadInput(f"--set {environment}.{package}: that package is not locked.{close}")


def _setting(workspace: Workspace, text: str) -> tuple[tuple[str, str], str]:
    left, equals, version = text.partition("=")
    environment, dot, package = left.partition(".")
    if not (equals and version and dot and package):
        raise BadInput(f"--set {text}: give ENVIRONMENT.PACKAGE=VERSION, as worker.runpod=1.12.0.")
    if environment not in workspace.environments:
        raise BadInput(
            f"--set {text}: there is no environment {environment}."
            f"{nearest(environment, workspace.environments)}"
        )
    return (environment, str(canonicalize_name(package))), version


def _edited(files: Sequence[Path], folder: Path, versions: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the .in files as copies in `folder` that ask for these versions and no others."""
    copies = [folder / file.relative_to(ROOT / "requirements") for file in files]
    for copy in copies:
        lines = copy.read_text().splitlines()
        kept = [line for line in lines if _package(line) not in versions]
        copy.write_text("\n".join(kept) + "\n")
    with copies[0].open("a") as first:
        first.writelines(f"{package}=={version}\n" for package, version in versions.items())
    return tuple(copies)


def _package(line: str) -> str:
    try:
        return str(canonicalize_name(Requirement(line.split("#")[0].strip()).name))
    except InvalidRequirement:
        return ""
