"""`./nox -s lock`: write the lockfiles that the inputs ask for, or answer questions about them."""

import argparse
import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Timer

from rich.console import Console
from rich.table import Table

from scripts.lock import (
    compatibility,
    facts,
    forward,
    hub,
    install,
    moves,
    pins,
    pylock,
    resolve,
    verify,
    why,
)
from scripts.lock.lockfile import locked
from scripts.lock.lookup import ONLY_MISSING, LookUp
from scripts.lock.plan import computed, plan, present, stale
from scripts.workspace.cli import run, say
from scripts.workspace.errors import BadInput, CheckFailed, Inconclusive
from scripts.workspace.files import exclusive, write_all
from scripts.workspace.model import Workspace, load, nearest, targets
from scripts.workspace.paths import LOCKFILES, ROOT, WORKSPACE, shown

TOML = ROOT / "workspace.toml"
SLOW_S = 20.0


def check(workspace: Workspace) -> None:
    """Raise CheckFailed, after a line for each, when lockfiles do not follow from the inputs."""
    readable(workspace)
    found = plan(workspace)
    for path, reasons in found.late.items():
        say(f"{shown(path)}: {'; '.join(reasons)}.")
    # What is surplus is late, too, but none of those that are asked for.
    count, surplus = len(found.late) - len(found.surplus), len(found.surplus)
    said = (
        f"{count} of {found.total} lockfiles do not follow from the inputs"
        if count
        else f"All {found.total} lockfiles follow from the inputs"
    )
    if surplus:
        said += f", {'and' if count else 'but'} nothing asks for {files(surplus)} more"
    if found.late:
        raise CheckFailed(f"{said}.", hint="Run ./nox -s lock")
    print(f"{said}.")


def chosen(names: Sequence[str]) -> list[resolve.Job]:
    """Return the jobs of the named targets, or of all, whose locks a question is about.

    Raises BadInput for an unknown name, and for a lock that does not follow from the inputs.
    """
    workspace = load()
    known = {target.name: target for target in targets(workspace)}
    for name in names:
        if name not in known:
            raise BadInput(
                f"there is no target {name}.{nearest(name, known)}",
                hint=f"Targets: {', '.join(known)}.",
            )
    jobs = [resolve.job(workspace, known[name]) for name in names or known]
    if late := [job for job in jobs if stale(job.path, job.inputs)]:
        raise BadInput(
            f"{shown(late[0].path)} does not follow from the inputs, so nothing can be said of it.",
            hint="Run ./nox -s lock",
        )
    return jobs


def verified(names: Sequence[str], workspace: Workspace) -> None:
    """Raise CheckFailed, after a table, when pip-tools does not agree with the locks."""
    jobs = chosen(names)
    here = {version: verify.interpreter(version) for version in {job.target.python for job in jobs}}
    left_out = {}
    for job in jobs:
        reason = verify.elsewhere(job, workspace)
        if reason is None and here[job.target.python] is None:
            reason = f"it needs Python {job.target.python}, which is not on this machine"
        if reason is not None:
            left_out[job.target.name] = reason
    for name, reason in left_out.items():
        say(f"{name} is not verified: {reason}.")
    jobs = [job for job in jobs if job.target.name not in left_out]
    if not jobs:
        raise Inconclusive("none of the locks can be verified here.")
    found = verify.verify(jobs, workspace, tell)
    if not found and left_out:
        raise Inconclusive(f"{len(jobs)} locks are the same; {len(left_out)} were not verified.")
    if not found:
        print(f"pip-tools agrees with uv on every lock that was asked for ({len(jobs)}).")
        if some := [job.target.name for job in jobs if not job.target.python]:
            print(f"Of {', '.join(some)}: on what is meant for this Python.")
        return
    table = Table("lockfile", "package", "locked by uv", "by pip-compile", box=None)
    for each in found:
        table.add_row(each.target, each.name, each.locked, each.verified)
    Console().print(table)
    if verify.drifted(found, jobs, workspace):
        raise CheckFailed(
            f"uv does not lock these {len(found)} packages so either, by now: the registry shows "
            "other files than when the locks were made.",
            hint=f"Lock the same day again: ./nox -s lock -- --as-of {workspace.lock.as_of}",
        )
    raise CheckFailed(f"pip-tools and uv do not agree on {len(found)} packages.")


def tell(line: str) -> None:
    """Print a line of progress."""
    print(line, flush=True)


def asked_for(args: argparse.Namespace, workspace: Workspace) -> forward.Step:
    """Return where the pins shall move to; nowhere, unless an argument says so."""
    if args.upgrade is None and args.as_of is None:
        step = forward.Step(workspace, ONLY_MISSING)
    elif args.as_of is None and not args.upgrade:
        step = forward.onward(workspace)
    else:
        day = forward.last_day() if args.as_of is None else forward.day(args.as_of)
        names = args.upgrade or ()
        locks = targets(workspace) if names else ()
        packages = {pin.name for target in locks for pin in locked(target.name)}
        step = forward.step(workspace, day, names, packages, pins.names(workspace))
    # A day is a cutoff of packages: it says nothing of images and sources.
    look_up = step.look_up if args.upgrade is not None else ONLY_MISSING
    if args.require_fresh and args.upgrade is None:
        # By itself it asks for all of them; nobody said that a model may be another one.
        look_up = LookUp(None, required=True, replace=False)
    elif args.require_fresh and look_up != ONLY_MISSING:
        look_up = replace(look_up, required=True)
    return forward.Step(step.workspace, look_up)


def write(args: argparse.Namespace, workspace: Workspace, step: forward.Step) -> None:
    """Compute what is late or shall move, show it, and write it unless this is a dry run."""
    started = time.monotonic()
    moving = args.upgrade is not None or args.as_of is not None or args.require_fresh
    readable(step.workspace)
    # A day that is named is computed again, also when the locks are of that day.
    found = plan(step.workspace, again=args.as_of is not None and not args.upgrade)
    if not found.late and step.look_up == ONLY_MISSING:
        print(f"All {found.total} lockfiles follow from the inputs; nothing to do.")
        warn(workspace)
        return
    if found.late:
        forward.require_over(step.workspace.lock)
    if not moving:
        for path, reasons in found.late.items():
            print(f"{shown(path)}: {'; '.join(reasons)}.", flush=True)
    # On a terminal only; elsewhere the lines above say what is being done.
    console = Console(stderr=True, quiet=bool(os.environ.get("CI")))
    waiting = {path.stem for path in found.late}
    with console.status("") as status, patient(waiting):

        def report(name: str) -> None:
            waiting.discard(name)
            status.update(f"{len(waiting)} to go: {', '.join(sorted(waiting))}")

        report("")
        made, notes = computed(found, step.workspace, step.look_up, report)
    # The days come first: should the writing break off, `lock` goes on to where they lead.
    old = {TOML: TOML.read_text(), **present()}
    new = {**old, **{lock.path: lock.text() for lock in made}}
    new[TOML] = forward.rewritten(old[TOML], step.workspace.lock)
    for path in found.surplus:
        del new[path]
    # A lockfile that was not there has moved nothing: the line above says that it is new.
    kept = old.keys() & new.keys()
    moved = moves.moves(*({path: texts[path] for path in kept} for texts in (old, new)))
    later = forward.later(workspace.lock, step.workspace.lock)
    if idle := later.keys() - {each.package for each in moved}:
        # What was written of them would be their days alone, in the header of every lockfile.
        print(f"Nothing newer of {', '.join(sorted(idle))} fits up to {max(later.values())}.")
        return write(args, workspace, forward.staying(workspace, step, idle))
    for note in notes:
        say(note)
    if moving or args.dry_run:
        print(moves.diff(old, new), end="")
    if moved:
        moves.print_table(Console(), moved)
    seconds = f"{time.monotonic() - started:.1f} s"
    late = [path for path in new if new[path] != old.get(path)] + list(found.surplus)
    if args.dry_run:
        print(f"Would write {files(len(late))} ({seconds}); nothing was written.")
        return
    # Everything is computed: from here on, only whole files are put in place.
    write_all({path: new[path] for path in late if path in new})
    for path in found.surplus:
        path.unlink()
    print(f"Wrote {files(len(late))} in {seconds}.")
    warn(workspace)


@contextmanager
def patient(waiting: Collection[str]) -> Iterator[None]:
    """Say once what is waited for, if the block takes much longer than a cold lock.

    uv tries a silent registry for two minutes, without a word.
    """

    def tell_names() -> None:
        names = ", ".join(sorted(waiting)) or "the pins that are looked up"
        say(f"No answer yet for {names}: the network is slow, or away.")

    timer = Timer(SLOW_S, tell_names)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def files(count: int) -> str:
    """Return a number of files in words."""
    return f"{count} file" if count == 1 else f"{count} files"


def readable(workspace: Workspace) -> None:
    """Raise BadInput for a hub.json that cannot be read, before anything is said or written."""
    for profile in workspace.profiles.values():
        if profile.hub is not None:
            hub.read(ROOT / profile.hub, facts.load())


def warn(workspace: Workspace) -> None:
    """Say where a profile's stack does not fit the GPUs and hosts that it is for."""
    for warning in compatibility.check(workspace):
        say(f"warning: {warning}")


def main(args: argparse.Namespace) -> int:
    """Answer the question, or write the late lockfiles; return the exit code."""
    asked = (args.why, args.install, args.verify)
    questions = args.check or args.pylock or any(each is not None for each in asked)
    moving = args.upgrade is not None or args.as_of is not None
    if questions and (moving or args.dry_run or args.require_fresh):
        raise BadInput("a question cannot be asked while pins move: give one or the other.")
    if questions:
        answer(args, load())
    else:
        LOCKFILES.mkdir(exist_ok=True)
        with exclusive(LOCKFILES, "lock"):
            # Read here: the one that was waited for may have moved the cutoff.
            workspace = load()
            write(args, workspace, asked_for(args, workspace))
    return 0


def answer(args: argparse.Namespace, workspace: Workspace) -> None:
    """Answer the question that is asked; raises CheckFailed for a no."""
    if args.check:
        check(workspace)
        warn(workspace)
    elif args.why is not None:
        for line in why.lines(why.why(args.why, workspace)):
            print(line)
    elif args.verify is not None:
        verified(args.verify, workspace)
    elif args.install is not None:
        install.install(chosen([args.install])[0].target, workspace, tell)
    elif args.pylock:
        for path in pylock.write_all(chosen(()), workspace, WORKSPACE / "pylock"):
            print(shown(path))


if __name__ == "__main__":
    sys.exit(run("lock", main))
