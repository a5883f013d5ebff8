"""Python environments: each target resolved by uv, side by side."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from scripts.lock import releases
from scripts.lock.complete import Resolved, problems
from scripts.lock.lockfile import File, Lockfile, Pin, locked, pins
from scripts.lock.uv import Refused, Uv, cutoff, fault, prepared
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.files import sha256
from scripts.workspace.model import Lock, Target, Workspace
from scripts.workspace.paths import LOCKFILES, ROOT, shown
from scripts.workspace.processes import Processes

# The environment whose lock holds what builds sdists.
BUILD = "build"
# Changed when the same answer of the resolver is written differently.
FORMAT = "3"


@dataclass(frozen=True)
class Job:
    """What one compilation is told: a target, its .in files, and the lock it lies on, if any.

    What is `preferred` is taken where the .in files allow it. A lock that is written prefers
    nothing: it follows from its inputs alone.
    """

    target: Target
    files: tuple[Path, ...]
    base: Target | None
    inputs: dict[str, str]
    preferred: tuple[Pin, ...] = ()

    @property
    def path(self) -> Path:
        """The lockfile to write."""
        return LOCKFILES / f"{self.target.name}.txt"


def job(workspace: Workspace, target: Target) -> Job:
    """Return the job of a target; raises BadInput for an .in file that is not there."""
    environment = workspace.environments[target.environment]
    base = None
    files = [ROOT / environment.requirements]
    if environment.extends is not None:
        base = target.model_copy(update={"environment": environment.extends})
    elif target.stack is not None:
        files.append(ROOT / workspace.stacks[target.stack].requirements)
    inputs = {
        "format": FORMAT,
        "as_of": workspace.lock.as_of.isoformat(),
        **{f"as_of.{name}": day.isoformat() for name, day in workspace.lock.ahead.items()},
        "python": target.python or f">={environment.pythons[0]}",
        "platform": "any" if environment.universal else workspace.lock.platform,
    }
    if environment.universal:
        # Where all of it must have a file, see `complete.problems`.
        inputs["checked"] = f"{workspace.lock.platform}, Python {', '.join(environment.pythons)}"
    inputs |= {shown(file): f"sha256:{sha256(file)}" for file in included(files)}
    builder = workspace.environments.get(BUILD)
    if builder is not None and target.environment != BUILD:
        # An sdist must be buildable from the build lock, so its .in files have a say.
        builders = included([ROOT / builder.requirements])
        inputs |= {shown(file): f"sha256:{sha256(file)}" for file in builders}
    if base is not None:
        for name, value in job(workspace, base).inputs.items():
            inputs.setdefault(name, value)
    return Job(target, tuple(files), base, inputs)


# How a requirements file names another one, in every form that pip and uv read.
INCLUDES = re.compile(
    r"^\s*(?:-r|-c|--requirements?(?=[\s=])|--constraints?(?=[\s=]))[\s=]*(\S+)", re.MULTILINE
)


def included(files: Sequence[Path]) -> list[Path]:
    """Return the files and those that they name with `-r` or `-c`, at any depth, each once.

    Raises BadInput for one that is not there or no text, and for a line with any other option: an
    index or a folder of packages would be an input that no lock is held to.
    """
    found: list[Path] = []
    waiting = [(file, "workspace.toml") for file in files]
    while waiting:
        file, asker = waiting.pop(0)
        if file in found:
            continue
        found.append(file)
        text = content(file, asker)
        _refuse_options(file, text)
        for match in INCLUDES.finditer(text):
            line = text.count("\n", 0, match.start(1)) + 1
            waiting.append((file.parent / match[1], f"{shown(file)}:{line}"))
    return found


def _refuse_options(file: Path, text: str) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("-") and not INCLUDES.match(line):
            raise BadInput(
                f"{shown(file)}:{number}: {line.strip()}: only -r and -c may stand among the "
                "requirements.",
                hint="Index and login are uv's own settings, so that no address is in the lock.",
            )


def content(file: Path, asker: str = "workspace.toml") -> str:
    """Return the text of an .in file; raises BadInput when it is not there or no text.

    `asker` is what names it, for the message.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"{shown(file)} does not exist, but {asker} asks for it.") from None
    except (UnicodeDecodeError, IsADirectoryError) as reason:
        raise BadInput(f"{shown(file)} is no text in UTF-8: {reason}") from None


def cutoffs(lock: Lock) -> dict[str, datetime]:
    """Return the instant from which on nothing is considered, by package; `*` for all others."""
    ahead = {str(canonicalize_name(name)): cutoff(day) for name, day in lock.ahead.items()}
    return {"*": cutoff(lock.as_of), **ahead}


def compile_all(
    jobs: Sequence[Job],
    workspace: Workspace,
    report: Callable[[str], None] = lambda name: None,
    *,
    history: bool = False,
) -> list[Lockfile]:
    """Resolve every job, side by side; those that lie on another lock wait for it.

    `report` is told the name of each target that is resolved.

    Raises BadInput with the resolver's reason and the .in lines it concerns, or for a lock that
    would not be complete, and Failure when the registry cannot be reached. Nothing is written.
    In `history` a pinned release that was yanked since is no reason to reject: the day did not
    know.
    """
    limits = cutoffs(workspace.lock)
    # A cold resolution waits for the network most of its time.
    places = 3 * (os.cpu_count() or 1)
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(max_workers=max(1, 2 * len(jobs))) as threads,
        Processes(places) as processes,
    ):
        uv = prepared(processes, Path(folder), max(limits.values()))
        compiled: dict[str, Future[_Compiled]] = {}
        waiting: dict[str, Future[Lockfile]] = {}
        resolver = _Resolver(workspace, uv, Path(folder), limits, history, report, compiled)
        for each in _in_turn(jobs):
            name = each.target.name
            compiled[name] = threads.submit(
                resolver.compile, each, compiled.get(_after(each, jobs))
            )
            waiting[name] = threads.submit(resolver.judge, each, compiled[name])
        done, _ = wait(waiting.values(), return_when=FIRST_EXCEPTION)
        # The first in turn that failed has its say; what is left is stopped on the way out.
        found = {name: future.result() for name, future in waiting.items() if future in done}
    return [found[each.target.name] for each in jobs]


def options(each: Job, workspace: Workspace, limits: Mapping[str, datetime]) -> list[str]:
    """Return the arguments of uv that every resolution of a job shares."""
    environment = workspace.environments[each.target.environment]
    return [
        "pip",
        "compile",
        "--no-header",
        # The interpreter at hand reads the metadata of sdists; without these two, uv searches for
        # one of the target's version, and tries to download it, for seconds each time.
        f"--python={sys.executable}",
        "--no-python-downloads",
        f"--python-version={each.target.python or environment.pythons[0]}",
        f"--exclude-newer={limits['*'].isoformat()}",
        *[
            f"--exclude-newer-package={name}={limit.isoformat()}"
            for name, limit in limits.items()
            if name != "*"
        ],
        *(["--universal"] if environment.universal else []),
        *([] if environment.universal else [f"--python-platform={workspace.lock.platform}"]),
    ]


def _in_turn(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs so that each comes behind the one that it waits for."""

    def turn(each: Job) -> tuple[bool, bool, int]:
        return each.target.name != BUILD, each.base is not None, -len(included(each.files))

    return sorted(jobs, key=turn)


def _after(each: Job, jobs: Sequence[Job]) -> str:
    """Return the name of the target that a job waits for, or nothing.

    It waits for the lock that it extends. It also waits for a job that asks for the same pages,
    which are then there: that of another Python or stack, or one whose .in files include its own.
    """
    if each.base is not None:
        return each.base.name
    own = set(included(each.files[:1]))
    for other in _in_turn(jobs):
        if other == each:
            return ""
        if own <= set(included(other.files)):
            return other.target.name
    return ""


@dataclass(frozen=True)
class _Compiled:
    """A job's packages as uv wrote them, what it said of them, and the file that holds them all."""

    pins: Sequence[Pin]
    below: Sequence[Pin]
    said: str
    lock: Path


@dataclass(frozen=True)
class _Resolver:
    workspace: Workspace
    uv: Uv
    folder: Path
    limits: Mapping[str, datetime]
    history: bool
    report: Callable[[str], None]
    compiled: Mapping[str, "Future[_Compiled]"]

    def compile(self, each: Job, after: "Future[_Compiled] | None") -> _Compiled:
        """Return the packages of a job, once those of the one that it builds on are there."""
        if after is not None:
            after.result()
        below = _below(each, self.folder)
        constraints = self.folder / f"{each.target.name}.constraints"
        constraints.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in below))
        # Of the file that it is to write, uv keeps the versions that it can.
        preferred = self.folder / f"{each.target.name}.preferred.txt"
        preferred.write_text("".join(f"{pin.requirement}\n" for pin in each.preferred))
        body, said = self._ask(
            each,
            [
                "--generate-hashes",
                *([f"--output-file={preferred}"] if each.preferred else []),
                *([f"--constraints={constraints}"] if below else []),
                *[f"--no-emit-package={pin.name}" for pin in below],
                *[shown(file) for file in each.files],
            ],
        )
        made = [_without(pin, str(constraints)) for pin in _complete(each, body)]
        lock = self.folder / f"{each.target.name}.txt"
        lock.write_text("".join(pin.text for pin in [*below, *made]))
        return _Compiled(made, below, said, lock)

    def judge(self, each: Job, compiled: "Future[_Compiled]") -> Lockfile:
        """Return the lock of a job, with the files; raises BadInput if it would not be complete.

        What waits for the packages need not wait for this.
        """
        made = compiled.result()
        environment = self.workspace.environments[each.target.environment]
        # The lock resolved again, with what its packages depend on: anything that this adds is
        # missing. The answer names every file with its size and date.
        pylock, _ = self._ask(each, ["--format=pylock.toml", str(made.lock)])
        yanked = re.findall(r"`(\S+==\S+)` is yanked(?: \(reason: \"(.*)\"\))?", made.said)
        resolved = Resolved(
            pins=made.pins,
            releases=releases.read(pylock),
            below=frozenset(pin.name for pin in made.below),
            yanked={} if self.history else dict(yanked),
            pythons=environment.pythons if environment.universal else (each.target.python,),
            universal=environment.universal,
        )
        builders = self.compiled[BUILD].result().pins if BUILD in self.compiled else locked(BUILD)
        found = list(problems(resolved, self.workspace, self.limits, builders, self.uv.login))
        if found:
            raise _rejected(each, "\n".join(f"  {problem}" for problem in found))
        body = "".join(pin.entry for pin in _with_files(resolved, self.workspace))
        self.report(each.target.name)
        return Lockfile(each.path, each.inputs, body)

    def _ask(self, each: Job, arguments: Sequence[str]) -> tuple[str, str]:
        try:
            return self.uv([*options(each, self.workspace, self.limits), *arguments])
        except Refused as reason:
            raise explained(each, str(reason)) from None


def _complete(each: Job, body: str) -> list[Pin]:
    """Return the packages of a body; raises BadInput with the .in lines of one without a hash."""
    try:
        return list(pins(body))
    except BadInput as reason:
        raise _rejected(each, reason.message) from None


def _rejected(each: Job, reasons: str) -> BadInput:
    lines = "".join(f"\n  {line}" for line in concerned(reasons, each.files))
    return BadInput(
        f"{shown(each.path)} would not be complete:\n{reasons}{lines}",
        hint="Nothing was written. Change the lines above, or as_of in workspace.toml.",
    )


def _below(each: Job, folder: Path) -> list[Pin]:
    """Return the packages of the lock that a job extends: as resolved now, or as they stand."""
    if each.base is None:
        return []
    made = folder / f"{each.base.name}.txt"
    return list(pins(made.read_text())) if made.exists() else locked(each.base.name)


def _without(pin: Pin, constraints: str) -> Pin:
    # A temporary file is nobody's reason.
    return replace(pin, via=tuple(each for each in pin.via if each != f"-c {constraints}"))


def _with_files(resolved: Resolved, workspace: Workspace) -> Iterable[Pin]:
    platform = workspace.lock.platform
    files = {
        (release.name, release.version): releases.installed(release, python, platform)
        for release in resolved.releases
        # The Pythons of a universal lock may take different files: the first is shown.
        for python in reversed(resolved.pythons)
        if not resolved.universal or releases.applies(release.marker, python, platform)
    }
    for pin in resolved.pins:
        file = files.get((pin.name, pin.version))
        yield (
            pin
            if file is None
            else replace(pin, file=File(file.name, file.size, file.uploaded.date()))
        )


def explained(each: Job, reason: str) -> Failure:
    """Return what to raise for uv's message: BadInput, or Failure of the machine or network."""
    found = fault(reason, f"{each.target.name} was not resolved")
    if found is not None and "No solution found" not in reason:
        found.hint = f"Nothing was written. {found.hint}"
        return found
    lines = "\n".join(f"  {line}" for line in concerned(reason, each.files))
    return BadInput(
        f"{each.target.name} cannot be resolved:\n{reason}" + (f"\n{lines}" if lines else ""),
        hint="Nothing was written. Change the lines above, or the day (as_of in workspace.toml).",
    )


def concerned(reason: str, files: Sequence[Path]) -> list[str]:
    """Return `file:line: text` for each line of the .in files that a resolver's reason names.

    A line that is no requirement at all is named in any case, and alone when that is the reason.
    """
    words = re.findall(r"[A-Za-z0-9][\w.-]*\w", reason)
    wrong = asked((), files, broken=True) if "Couldn't parse requirement" in reason else []
    return wrong or asked(words, files, broken=True)


def asked(names: Iterable[str], files: Sequence[Path], broken: bool = False) -> list[str]:
    """Return `file:line: text` for each line of the .in files that asks for one of the packages."""
    wanted = {canonicalize_name(name) for name in names}
    found = []
    for file in included(files):
        for number, line in enumerate(content(file).splitlines(), start=1):
            text = line.split("#")[0].strip()
            try:
                hit = canonicalize_name(Requirement(text).name) in wanted
            except InvalidRequirement:
                hit = broken and bool(text) and not text.startswith("-")
            if hit:
                found.append(f"{shown(file)}:{number}: {line}")
    return found
