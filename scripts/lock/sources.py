"""Git sources: the commit of a ref now, and which origins have that very commit."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from scripts.lock import lookup
from scripts.lock.lookup import Found, NotFound, Transient, Unreachable
from scripts.workspace.git import git
from scripts.workspace.model import Source

# What git says of a repository or an object that is not there, and of a server in trouble. A
# repository that does not exist and one that is private look the same: both ask for a name.
NOT_THERE = "not our ref"
MISSING = rf"repository .*not found|does not appear to be a git repository|{NOT_THERE}"
TROUBLE = (
    r"returned error: (429|5\d\d)|too slow|timed out|Empty reply|reset by peer|early EOF|"
    r"unexpected disconnect|hung up unexpectedly"
)
BY_ID_REFUSED = r"unadvertised object|dumb http"
# For one commit without its files, or all of them from a server that gives none by its id.
FETCH_S = 120.0


def look_up(record: Source, pinned: str | None) -> Found:
    """Return the commit of a ref as the first origin in order that has it tells it.

    `pinned` is the commit so far; the notes say which origin is not there, has the ref elsewhere,
    or lacks the commit. Raises NotFound when no origin has the ref or its commit, and Unreachable
    when one that did not answer may have it, or would have had to be asked first.
    """
    told = lookup.ask_all({each: partial(commit_of, each, record.ref) for each in record.origins})
    commits = {origin: answer for origin, answer in told.items() if isinstance(answer, str)}
    if not commits:
        raise _nobody(f"no origin has {record.ref}", told)
    first, commit = next(iter(commits.items()))
    _require_say(record, told, first, commit, pinned)
    # An origin may have lost the ref and still have the commit.
    asked = [origin for origin, answer in told.items() if not isinstance(answer, Unreachable)]
    having = lookup.ask_all({origin: partial(confirm, origin, commit) for origin in asked})
    if commit not in having.values():
        raise _nobody(f"no origin has commit {commit}", told | having)
    notes = [
        f"{origin}: {answer}"
        for origin, answer in (told | having).items()
        if isinstance(answer, Exception)
    ]
    for origin, other in commits.items():
        if other != commit:
            as_pinned = ", as it was pinned" if other == pinned else ""
            notes.append(
                f"{first} has {record.ref} at {commit}, but {origin} at {other}{as_pinned}"
            )
    return Found({"commit": commit}, tuple(notes))


def _require_say(
    record: Source,
    told: Mapping[str, str | NotFound | Unreachable],
    first: str,
    commit: str,
    pinned: str | None,
) -> None:
    """Raise Unreachable when a later origin would move a pin because an earlier one is silent.

    A mirror may be old, or worse: it says where a ref is only when those before it do not know.
    """
    before = record.origins[: record.origins.index(first)]
    silent = [origin for origin in before if isinstance(told[origin], Unreachable)]
    if silent and pinned not in (None, commit) and commit != record.ref:
        raise Unreachable(
            f"{silent[0]}: {told[silent[0]]}; {first} has {record.ref} at {commit}, but only says "
            "so when those before it answer"
        )


def commit_of(origin: str, ref: str) -> str:
    """Return the commit that a ref of an origin is at; a commit id is what it says.

    Raises NotFound or Unreachable.
    """
    is_commit = re.fullmatch(r"[0-9a-f]{40}", ref) is not None
    names = ["HEAD"] if is_commit else [ref, f"{ref}^{{}}"]
    output = lookup.patiently(lambda: _list(origin, names))
    commit = ref if is_commit else resolve(output, ref)
    if commit is None:
        raise NotFound(f"has no {ref}")
    return commit


def resolve(listing: str, ref: str) -> str | None:
    """Return the commit of a ref in what `git ls-remote` printed, or None.

    A full name and HEAD stand for themselves; a short one means the tag before the branch, as for
    git. An annotated tag is listed twice: as itself, and, marked ^{}, as what it points to.
    """
    lines = [line.split("\t") for line in listing.splitlines()]
    ids = {name: identifier for identifier, name in lines}
    for name in (ref, f"refs/tags/{ref}", f"refs/heads/{ref}"):
        if found := ids.get(f"{name}^{{}}") or ids.get(name):
            return found
    return None


def confirm(origin: str, commit: str) -> str:
    """Fetch a commit without its files and throw it away; return its id.

    Raises NotFound when the origin does not have it, or Unreachable.
    """
    try:
        with tempfile.TemporaryDirectory() as name:
            kind = _fetched(Path(name), origin, commit)
    except subprocess.TimeoutExpired:
        raise Unreachable(f"did not give commit {commit} within {FETCH_S:g} s") from None
    if kind != "commit":
        raise NotFound(f"does not have commit {commit}")
    return commit


def _fetched(folder: Path, origin: str, commit: str) -> str:
    """Fetch what has the id of a commit into `folder`; return what it is, or nothing."""
    one, all_of_them = folder / "one", folder / "all"
    for repository in (one, all_of_them):
        _run("init", "--quiet", "--bare", str(repository), folder=folder)
    fetch = ("fetch", "--quiet", "--filter=tree:0", "--depth=1", "--", origin, commit)
    # Without a filter, and apart from where one was asked for: a server that only has files knows
    # none, and git, told to fetch later what a filter left out, would ask it in circles.
    everything = ("fetch", "--quiet", "--", origin, "+refs/*:refs/*")
    fetched = one
    try:
        lookup.patiently(lambda: _run(*fetch, folder=one))
    except _ByIdRefused:
        fetched = all_of_them
        lookup.patiently(lambda: _run(*everything, folder=all_of_them))
    except NotFound as failure:
        if NOT_THERE not in str(failure):
            raise  # it is the repository that is not there
        return ""
    return git("cat-file", "-t", commit, folder=fetched, timeout_s=FETCH_S).stdout.strip()


class _ByIdRefused(Exception):
    """A server that gives no commit by its id, as git's protocol before version 2 has it."""


def _list(origin: str, names: list[str]) -> str:
    try:
        # Away from any repository, whose remotes could be named as the origin is.
        return _run(
            "ls-remote",
            "--",
            origin,
            *names,
            folder=Path(tempfile.gettempdir()),
            timeout_s=lookup.TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise Transient(f"did not answer within {lookup.TIMEOUT_S:g} s") from None


def _run(*arguments: str, folder: Path, timeout_s: float = FETCH_S) -> str:
    done = git(*arguments, folder=folder, timeout_s=timeout_s)
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip()
    fatal = re.search(r"^fatal: (.+)$", said, re.MULTILINE)
    reason = re.sub(r"^unable to access '[^']*': ", "", fatal[1] if fatal else said)
    if re.search(BY_ID_REFUSED, said):
        raise _ByIdRefused(reason)
    if re.search(MISSING, said, re.IGNORECASE):
        raise NotFound(reason)
    if re.search(TROUBLE, said, re.IGNORECASE):
        raise Transient(reason)
    raise Unreachable(reason)


def _nobody(what: str, answers: "dict[str, str | NotFound | Unreachable]") -> Exception:
    """Return what to raise when no origin gave what was asked for: nobody has it, or who knows."""
    lines = [f"{origin}: {failure}" for origin, failure in answers.items()]
    if any(isinstance(each, Unreachable) for each in answers.values()):
        return Unreachable("; ".join(lines))
    return NotFound("; ".join([what, *lines]))
