"""`bench`: run the chosen suites, keep the samples, print what they say."""

import argparse
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Final, get_args

from scripts.bench import (
    attn,
    cases,
    host,
    image,
    journal,
    networks,
    options,
    packages,
    probing,
    schema,
    table,
)
from scripts.bench.ab import ask
from scripts.bench.ab import run as ab
from scripts.bench.advise import run as advise
from scripts.bench.compare import compared
from scripts.bench.exports import formats
from scripts.bench.probe.attn_plan import Choice, SizeName
from scripts.bench.probing import Probe
from scripts.bench.rebuild import run as rebuild
from scripts.bench.replay import run as replay
from scripts.bench.suite import Measured, Settings, Sink, Suite
from scripts.bench.tracking import run as tracking
from scripts.bench.tracking import turns
from scripts.bench.tracking.gate import Interleave, Plan
from scripts.bench.verdicts import run as verdicts
from scripts.build.engine import ensure
from scripts.build.image import built, gpus, unused_gpu
from scripts.build.record import BuildRecord, git_state
from scripts.build.recorded import is_of_now
from scripts.workspace.cli import run, say
from scripts.workspace.errors import BadInput, CheckFailed, Failure
from scripts.workspace.model import Bench, MeasuredSuite, SuiteName, Workspace, load, offer
from scripts.workspace.paths import BENCH, shown

QUICK_ROUNDS = 6
QUICK_BUDGET_S = 25.0

REPLAY: Final = "replay"
REBUILD: Final = "rebuild"
VERDICTS: Final = "verdicts"
# Arguments that say what to measure, or where to write it.
MEASURING = (
    *("suite", "quick", "full", "shape", "backend", "dtype", "cold", "python"),
    *("budget", "json", "without"),
)
UNMEASURED: Final = {REPLAY, REBUILD, VERDICTS}
SUITES: dict[MeasuredSuite, Suite] = {
    "attn": Suite(attn.run, attn.evaluate, attn.shape_of),
    "unet": Suite(
        partial(networks.run, "unet"), partial(networks.evaluate, "unet"), cases.shape_of
    ),
    "vae": Suite(partial(networks.run, "vae"), partial(networks.evaluate, "vae"), cases.shape_of),
    "image": Suite(image.run, image.evaluate, cases.shape_of),
}
# Those that run without an image, too.
IN_HOST: dict[SuiteName, Callable[[Probe, Settings, Sink], None]] = {
    "attn": attn.measure,
    "unet": partial(networks.measure, "unet"),
    "vae": partial(networks.measure, "vae"),
}


def main(args: argparse.Namespace) -> int:
    """Run the chosen suites, or use stored runs; return the exit code."""
    if args.resume is not None:
        _continue(args)
        return 0
    exports = formats.wanted(args.export)
    if args.ab:
        ab.run(args, load(), _choice(args))
        return 0
    if args.compare:
        _compare(args)
        return 0
    if args.history is not None:
        _refuse(args, "--history", (*MEASURING, "of", "export", "gate", "advise"))
        tracking.history(args.history, write=args.record)
        return 0
    if args.advise:
        _refuse(args, "--advise", (*MEASURING, "export", "record", "gate"))
        advise.run(load(), args.of, table.console())
        return 0
    if args.of:
        _stored(args, exports)
        return 0
    workspace = load()
    workspace.profile(args.profile)
    plan = _plan(args) if args.gate else None
    chosen = _suites(args.suite.split(",") if args.suite else _usual(args, workspace.bench))
    _check(args, chosen)
    if args.without and REPLAY not in chosen:
        raise BadInput("--without is of the suite replay, which was not chosen.")
    if args.record and args.quick and set(chosen) - UNMEASURED:
        raise BadInput(
            "--quick is a glance: what it measures cannot be recorded.",
            hint="Leave out --quick, or --record.",
        )
    if exports and not set(chosen) - UNMEASURED:
        raise BadInput("--export is of the suites that measure an image; none was chosen.")
    # These ask for no image that is there.
    if REPLAY in chosen:
        replay.run(workspace, args.profile, args.without, record=args.record)
    if REBUILD in chosen:
        rebuild.run(args.profile, quick=args.quick, record=args.record)
    if VERDICTS in chosen:
        verdicts.run(workspace, quick=args.quick, record=args.record)
    if measured := [
        name for name in chosen if name != REPLAY and name != REBUILD and name != VERDICTS
    ]:
        _use(*_measure(args, workspace, measured, exports), args, plan)
    return 0


def _use(
    result: schema.Run, wrong: Sequence[str], args: argparse.Namespace, plan: Plan | None
) -> None:
    """Record what was measured, or hold it against the baseline, if that was asked for.

    Raises CheckFailed in any case for backends that are `wrong`: the others' samples are as good
    as ever, so they are used first.
    """
    try:
        if args.record:
            tracking.keep(result)
        if plan is not None:
            tracking.judge(plan, result, args.seed, _in_turns(args))
    except Failure as failure:
        if not wrong:
            raise
        say(f"bench: {failure.message}")
    if wrong:
        lines = "\n".join(f"  {line}" for line in wrong)
        raise CheckFailed(f"these cases were not timed:\n{lines}")


def _refuse(args: argparse.Namespace, chosen: str, names: Sequence[str]) -> None:
    """Raise BadInput for arguments that mean nothing beside `chosen`, which measures nothing."""
    if named := [f"--{name}" for name in names if getattr(args, name)]:
        raise BadInput(f"{chosen} measures nothing: leave out {' and '.join(named)}.")


def _compare(args: argparse.Namespace) -> None:
    _refuse(args, "--compare", (*MEASURING, "of", "export", "record", "gate", "history", "advise"))
    before, after = (schema.load(path) for path in args.compare)
    table.show_changes(compared(before, after, args.seed), table.console())


def _stored(args: argparse.Namespace, exports: Sequence[formats.Export]) -> None:
    """Export, record or judge the runs of --of. Raises BadInput where none of it was asked for."""
    # A gate may measure in its second session.
    of_gate = ("suite", "full", "budget") if args.gate else ()
    _refuse(args, "--of", [name for name in MEASURING if name not in of_gate])
    if not (exports or args.record or args.gate):
        raise BadInput(
            "--of says which runs, and not what to do with them.",
            hint="Add --export FORMAT=FILE, --record, --gate or --advise.",
        )
    runs = [schema.load(path) for path in args.of]
    if args.gate and (args.record or len(runs) > 1):
        raise BadInput("--gate takes one run, and records it by itself if that is faster.")
    formats.write(exports, runs)
    for stored in runs if args.record else ():
        tracking.keep(stored)
    if args.gate:
        (only,) = runs
        tracking.judge(tracking.plan_of(only, _names(args)), only, args.seed, _in_turns(args))


def _plan(args: argparse.Namespace) -> Plan:
    """What --gate holds the run against; the suites and their place become those of the plan.

    Raises BadInput where this device has no such baseline, or for what asks for another run.
    """
    if args.quick or args.record:
        raise BadInput(
            f"--gate does not go with {'--quick' if args.quick else '--record'}.",
            hint="It measures as the baseline was, and records by itself what is faster.",
        )
    plan = tracking.plan(_names(args), "host" if args.where == "host" or args.python else None)
    args.suite, args.where = ",".join(plan.baselines), plan.where
    return plan


def _names(args: argparse.Namespace) -> list[SuiteName]:
    """The suites of --suite, if it was given."""
    return _suites(args.suite.split(",")) if args.suite else []


def _in_turns(args: argparse.Namespace) -> Interleave:
    """A second session as long as the first was for a suite, with the same seed."""
    return partial(turns.interleaved, seed=args.seed, budget_s=args.budget, full=args.full)


def _continue(args: argparse.Namespace) -> None:
    """Go on with a run that was killed. Raises BadInput for arguments beside, and as `_measure`."""
    usual = options.parser()
    others = set(vars(args)) - {"resume", "verbose"}
    if any(getattr(args, name) != usual.get_default(name) for name in others):
        raise BadInput("--continue takes the run's own arguments, and no others beside.")
    before = journal.find(args.resume)
    own, _ = usual.parse_known_args(before.head.argv)
    say(f"bench: going on with run {before.head.run_id}, begun {before.head.utc}")
    plan = _plan(own) if own.gate else None
    found = _measure(own, load(), before.head.suites, formats.wanted(own.export), before)
    _use(*found, own, plan)


def _measure(
    args: argparse.Namespace,
    workspace: Workspace,
    suites: Sequence[MeasuredSuite],
    exports: Sequence[formats.Export],
    before: journal.Unfinished | None = None,
) -> tuple[schema.Run, list[str]]:
    """Measure in the image or in the host, write the result, print and return it.

    With it come the cases of backends that are wrong, a line each. It goes on from `before`, a run
    that was killed.

    Raises BadInput for an image of other inputs where it would be recorded, Failure where nothing
    could be measured.
    """
    python = host.interpreter(args.python) if args.where == "host" else None
    # Before packages are installed for what may not be there.
    record = built(args.profile) if python is None else None
    notes: list[str] = []
    if record is not None and not is_of_now(workspace, record):
        told = "the image was built from other inputs than the checkout has now"
        if args.record or args.gate:
            raise BadInput(
                f"{told}: what it takes cannot be recorded.",
                hint=f"Build it first: ./nox -s build -- --profile {args.profile}",
            )
        say(f"bench: {told}; ./nox -s build would build another one")
        notes.append(told)
    settings = {name: _settings(args, workspace, name, before) for name in suites}
    written = _journal(record, suites, before)
    kept = {name: journal.Kept(written, name, SUITES[name].shape_of, before) for name in suites}
    missing = [name for name in suites if before is None or not before.is_done(name)]
    whole = False
    try:
        if record is not None:
            client = ensure().client()
            if (unused := unused_gpu(client)) is not None:
                say(f"bench: {unused}")
                notes.append(unused)
            has_gpu = gpus(client) is not None
            mounted = {
                name: _mounted(name, workspace, args.profile, has_gpu, notes) for name in missing
            }
            for name in missing:
                there = replace(settings[name], packages=mounted[name])
                SUITES[name].run(client, record.image, there, kept[name])
        elif python is not None:
            for name in missing:
                IN_HOST[name](probing.in_host(python), settings[name], kept[name])
        whole = True
    finally:
        # Also on Ctrl-C and on a failure: what was measured until then is kept.
        measured = {name: SUITES[name].evaluate(kept[name].records, args.seed) for name in suites}
        result = _result(args, written, record, measured, notes)
        with closing(written):
            if result is not None:
                _keep(result, args.json, exports)
            written.end(whole=whole)
    wrong = [line for each in measured.values() for line in each.disagreements]
    if result is None or not (wrong or any(case.status == "ok" for case in result.cases)):
        raise Failure("nothing could be measured.", hint="The reasons are above.")
    return result, wrong


def _journal(
    record: BuildRecord | None,
    suites: Sequence[MeasuredSuite],
    before: journal.Unfinished | None,
) -> journal.Journal:
    """Where what is measured is written as it comes.

    Raises BadInput where that is not what the run `before` was begun with.
    """
    now = datetime.now(timezone.utc)
    head = journal.Head(
        run_id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        utc=now.strftime(schema.UTC),
        argv=tuple(sys.argv[1:]),
        suites=tuple(suites),
        commit=git_state()[0] or None,
        lock_sha256=None if record is None else record.lock_sha256,
        image_digest=None if record is None else record.digest,
    )
    if before is not None:
        before.require(head)
        return journal.resume(before, head.utc)
    if (other := journal.newest()) is not None:
        say(
            f"bench: run {other.head.run_id}, begun {other.head.utc}, was not finished: --continue "
            f"goes on with it, rm {shown(other.path)} forgets it"
        )
    return journal.begin(head)


def _settings(
    args: argparse.Namespace,
    workspace: Workspace,
    suite: MeasuredSuite,
    before: journal.Unfinished | None,
) -> Settings:
    """Return how a suite is run."""
    bench = workspace.bench
    return Settings(
        seed=args.seed,
        rounds=QUICK_ROUNDS if args.quick else bench.rounds,
        budget_s=args.budget or (QUICK_BUDGET_S if args.quick else bench.budget_s[suite]),
        exact=bool(args.budget or args.quick),
        choice=_choice(args),
        skip=() if before is None else before.finished(suite),
    )


def _mounted(
    suite: MeasuredSuite, workspace: Workspace, profile: str, has_gpu: bool, notes: list[str]
) -> Path | None:
    """What the probe of a suite imports beside the image's packages, installed.

    Where only the watch on the GPU is missing for it, the suite runs unwatched, and `notes` say so.
    """
    named = workspace.profile(profile)
    if suite in ("unet", "vae"):
        return packages.installed(workspace, named)
    if not has_gpu:
        return None
    try:
        return packages.watching(workspace, named)
    except (BadInput, CheckFailed):
        raise
    except Failure as failure:
        # What follows the first line is the installer's, and names the registry.
        why = failure.message.partition("\n")[0].rstrip(":")
        notes.append(f"{suite}: {packages.WATCHING} could not be installed: {why}")
        say(f"bench: {notes[-1]}")
        return None


def _choice(args: argparse.Namespace) -> Choice:
    """What the suites measure, as far as it was said."""
    size: SizeName = "full" if args.full else "quick" if args.quick else "default"
    return Choice(size, args.shape, args.backend, args.dtype, cold=args.cold)


def _usual(args: argparse.Namespace, bench: Bench) -> Sequence[SuiteName]:
    """The suites of workspace.toml, in the host those of them that run there."""
    return [name for name in bench.suites if args.where == "image" or name in IN_HOST]


def _check(args: argparse.Namespace, chosen: Sequence[SuiteName]) -> None:
    """Raise BadInput for arguments that do not go together, or with the suites."""
    if args.quick and args.full:
        raise BadInput("--quick and --full exclude each other.")
    if args.python and args.where != "host":
        raise BadInput("--python is of --in host.", hint="In the image its own Python is used.")
    if args.where == "host":
        for name in chosen:
            if name not in IN_HOST:
                known = ", ".join(IN_HOST)
                raise BadInput(f"suite {name} does not run with --in host; these do: {known}.")
    if args.full and not set(SUITES) & set(chosen):
        raise BadInput(f"--full is of the suites {', '.join(SUITES)}; none was chosen.")
    if args.cold and "attn" not in chosen:
        raise BadInput("--cold is of the suite attn, which was not chosen.")
    selective = [name for name in get_args(ask.SuiteName) if name in chosen]
    given = [name for name in ("shape", "backend", "dtype") if getattr(args, name)]
    if given and not selective:
        known = ", ".join(get_args(ask.SuiteName))
        raise BadInput(f"--{given[0]} is of the suites {known}; none was chosen.")
    for name in selective:
        ask.checked(name, _choice(args))


def _suites(names: Iterable[str]) -> list[SuiteName]:
    """Return the chosen suites in order, each once. Raises BadInput for an unknown one."""
    known: dict[str, SuiteName] = {name: name for name in get_args(SuiteName)}
    chosen = list(dict.fromkeys(name.strip() for name in names))
    for name in chosen:
        if name not in known:
            raise BadInput(f"there is no suite {name!r}.{offer(name, list(known))}")
    return [known[name] for name in chosen]


def _result(
    args: argparse.Namespace,
    written: journal.Journal,
    record: BuildRecord | None,
    measured: Mapping[MeasuredSuite, Measured],
    notes: Sequence[str],
) -> schema.Run | None:
    """The run as one file, with `notes` before those of its suites.

    None if there is no case, not even one that says why.
    """
    header = next((each.header for each in measured.values() if each.header), None)
    if header is None or not any(each.cases for each in measured.values()):
        return None
    now = datetime.now(timezone.utc)
    sha, dirty = git_state()
    return schema.Run(
        run_id=written.head.run_id,
        utc=now.strftime(schema.UTC),
        git=schema.Git(sha=sha or None, dirty=dirty or not sha),
        ran_in="host" if record is None else "image",
        lock_sha256=None if record is None else record.lock_sha256,
        image_digest=None if record is None else record.digest,
        argv=written.head.argv,
        seed=args.seed,
        host=schema.Host.model_validate(header["host"]),
        gpu=None if header["gpu"] is None else schema.Gpu.model_validate(header["gpu"]),
        sw=schema.Software.model_validate(header["sw"]),
        flags=schema.Flags.model_validate(header["flags"]),
        cases=tuple(case for each in measured.values() for case in each.cases),
        compare=tuple(found for each in measured.values() for found in each.compare),
        ceilings=tuple(found for each in measured.values() for found in each.ceilings),
        notes=tuple(
            dict.fromkeys([*notes, *(note for each in measured.values() for note in each.notes)])
        )
        + tuple(f"the run was cut short, and continued at {utc}" for utc in written.continued),
    )


def _keep(result: schema.Run, also: Path | None, exports: Sequence[formats.Export]) -> None:
    """Write the result under .workspace/bench/, and where it was asked for; print it.

    Raises Failure where the disk does not take it.
    """
    path = BENCH / f"{result.run_id}.json"
    try:
        for each in filter(None, (path, also)):
            schema.save(result, each)
    except OSError as error:
        raise Failure(
            f"the result {shown(each)} cannot be written: {error.strerror}.",
            hint="Every sample is in the run's journal. Make space, and write it by "
            f"./nox -s bench -- --continue {result.run_id}",
        ) from None
    finally:
        # Stdout is the export's, if one goes there.
        table.show(result, table.console(stderr=any(export.file is None for export in exports)))
    say(f"bench: wrote {shown(path)}")
    formats.write(exports, [result])


if __name__ == "__main__":
    raise SystemExit(run("bench", main))
