"""The lockfiles that a run's image was built from: in the checkout, or in git's history."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scripts.bench.schema import Run
from scripts.lock.lockfile import Pin, digest_of_all, pins
from scripts.workspace.errors import BadInput
from scripts.workspace.git import git
from scripts.workspace.paths import LOCKFILES, ROOT

FOLDER = LOCKFILES.name
WEBUI = "webui"
# What else an image has, or a suite mounts into it, that can make the suite slower.
_BESIDE: Mapping[str, Sequence[str]] = {
    "attn": (),
    "unet": ("probe",),
    "vae": ("probe",),
    "image": ("sandbox", "worker"),
}
_OF_THE_IMAGE = ("debian.toml", "images.toml", "sources.toml")


@dataclass(frozen=True)
class Locks:
    """All lockfiles of a moment by name, and where they were found: `commit c12be6c0`, say."""

    where: str
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Webui:
    """The lockfile that a run's torch came from: its name, text and where it was found.

    `probe` is the text of the lock beside it, of what the probe imports; empty if there is none.
    """

    name: str
    text: str
    probe: str
    where: str


def of_run(run: Run, root: Path = ROOT) -> Locks | None:
    """The lockfiles whose digest a run has, or None where neither checkout nor history has them.

    None, too, for a run in a Python of the host, which no lock describes. The repository is the
    one at `root`; of its history, what HEAD has, and the commit of the run itself.
    """
    return None if run.lock_sha256 is None else _found(run.lock_sha256, run.git.sha, root)


@cache
def _found(digest: str, sha: str | None, root: Path) -> Locks | None:
    try:
        files = {path.name: path.read_bytes() for path in (root / FOLDER).iterdir()}
    except OSError:
        files = {}
    if digest_of_all(files) == digest:
        return Locks(
            "the checkout", {name: data.decode(errors="replace") for name, data in files.items()}
        )
    for commit in dict.fromkeys([*([sha] if sha else []), *_commits(root)]):
        texts = _texts(commit, root)
        if digest_of_all({name: text.encode() for name, text in texts.items()}) == digest:
            return Locks(f"commit {commit[:12]}", texts)
    return None


@cache
def _commits(root: Path) -> Sequence[str]:
    """The commits that changed a lockfile, the newest first; none outside of git."""
    done = git("log", "--full-history", "--format=%H", "HEAD", "--", FOLDER, folder=root)
    return done.stdout.split() if done.returncode == 0 else ()


def _texts(commit: str, root: Path) -> Mapping[str, str]:
    """The lockfiles of a commit; none of one that this clone has not."""
    # No option can be hidden in a commit's name: what a run says of itself was only typed.
    listing = git("ls-tree", "-z", "--end-of-options", f"{commit}:{FOLDER}", folder=root)
    entries = filter(None, listing.stdout.split("\0") if listing.returncode == 0 else [])
    parts = [entry.partition("\t") for entry in entries]
    return {name: _blob(head.split()[2], root) for head, _, name in parts}


@cache
def _blob(name: str, root: Path) -> str:
    return git("cat-file", "blob", name, folder=root).stdout


def webui(run: Run, locks: Locks) -> Webui | None:
    """The lock of the environment `webui` that a run's software follows from.

    A run does not say its stack: it is the lock for its Python that holds its torch, and of two
    such, the one that holds its xformers.
    """
    ending = f"-py{_minor(run.sw.python)}.txt"
    fitting = []
    for name in sorted(locks.texts):
        if name.startswith(f"{WEBUI}-") and name.endswith(ending):
            versions = {pin.name: pin.version for pin in _pins(locks.texts[name])}
            if _same(versions.get("torch"), run.sw.torch):
                fitting.append((not _same(versions.get("xformers"), run.sw.xformers), name))
    if not fitting:
        return None
    name = min(fitting)[1]
    probe = locks.texts.get(name.replace(WEBUI, "probe", 1), "")
    return Webui(name.removesuffix(".txt"), locks.texts[name], probe, locks.where)


def of_suite(suite: str, run: Run, locks: Locks) -> dict[Path, str]:
    """The texts of the locks that a suite's packages come from, each named without its stack.

    So named, the locks of two runs are of the same files, also where one is of another stack.
    """
    found = webui(run, locks)
    stacked = f"-py{_minor(run.sw.python)}" if found is None else found.name.removeprefix(WEBUI)
    names = {WEBUI: f"{WEBUI}{stacked}.txt"}
    for kind in _BESIDE.get(suite, ()):
        own = f"-py{_minor(run.sw.python)}" if kind == "worker" else stacked
        names[kind] = f"{kind}{own}.txt"
    return {
        Path(f"{kind}.txt"): locks.texts[name]
        for kind, name in names.items()
        if name in locks.texts
    }


def of_image(locks: Locks) -> dict[str, str | None]:
    """The locks of what an image has beside packages of Python, each None where there is none."""
    return {name: locks.texts.get(name) for name in _OF_THE_IMAGE}


def _pins(text: str) -> Iterator[Pin]:
    try:
        yield from pins(text)
    except BadInput:
        return  # of a time when locks looked otherwise: it tells nothing


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _same(pinned: str | None, ran: str | None) -> bool:
    """Whether a lock's version is the one that ran, which may name its build: `2.1.2+cu121`."""
    if pinned is None or ran is None:
        return pinned == ran
    return pinned.partition("+")[0] == ran.partition("+")[0]
