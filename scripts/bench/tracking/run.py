"""Recording, gate and history, from their options to files, messages and exit codes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from scripts.bench import table as results
from scripts.bench.schema import Place, Run
from scripts.bench.stats import LEAST_ROUNDS
from scripts.bench.tracking import HERE, changes, gate, record, table
from scripts.bench.tracking.gate import Held, Interleave, Plan
from scripts.bench.tracking.machine import named
from scripts.bench.tracking.store import BENCHMARKS, Device, device_of
from scripts.workspace.cli import say
from scripts.workspace.errors import BadInput, CheckFailed, Inconclusive
from scripts.workspace.model import MeasuredSuite
from scripts.workspace.paths import ROOT, shown

ONLY_SUSPICIONS = (
    "no lock describes a Python of the host, so no second session can be held with what it had: "
    "against this baseline --gate finds suspicions (exit code 4), and confirms none (exit code 3)."
)


def keep(run: Run, instead: Sequence[MeasuredSuite] = ()) -> None:
    """Record a run, and say what to commit.

    Of the suites `instead` it becomes the baseline in any case. Raises what `record` does, and
    Failure where change points cannot be looked for; the run is recorded all the same.
    """
    device, written = record.record(run, BENCHMARKS, instead)
    known = device.baseline[run.ran_in]
    mine = [suite for suite, run_id in known.items() if run_id == run.run_id]
    if few := sorted(record.timed(run) - set(known)):
        say(
            f"bench: note: {', '.join(few)} ran fewer than {LEAST_ROUNDS} rounds, of which nothing "
            "follows: no baseline"
        )
    if mine:
        where = f"{device.name}, in the {run.ran_in}"
        say(f"bench: {run.run_id} is the baseline of {', '.join(mine)} on {where}")
    if mine and run.lock_sha256 is None:
        say(f"bench: note: {ONLY_SUSPICIONS}")
    _wrote(written)
    if run.git.dirty:
        say(
            "bench: note: files differed from the commit when this was measured. If lockfiles "
            "did, no gate can confirm anything against this run until they are committed."
        )
    say(f"bench: to keep it: git add {shown(device.folder)}, and commit")
    _wrote(record.rewrite_changes(device, ROOT))


def _wrote(files: Iterable[Path]) -> None:
    for path in files:
        say(f"bench: wrote {shown(path)}")


def plan(suites: Sequence[str], where: Place | None = None) -> Plan:
    """What a run on this machine is to be held against, by default where the baselines are of.

    Raises BadInput that names the devices with recorded runs where this is none of them.
    """
    return gate.plan(named(HERE, BENCHMARKS), suites, where)


def plan_of(run: Run, suites: Sequence[str]) -> Plan:
    """What a stored run is to be held against: of its own suites, those that have a baseline.

    Raises BadInput where none has one, for one of `suites` that has none, and as `plan`.
    """
    device = named(device_of(run).name, BENCHMARKS)
    mine = list(dict.fromkeys(case.suite for case in run.cases))
    known = [name for name in mine if name in device.baseline[run.ran_in]]
    if not suites and known and (without := [name for name in mine if name not in known]):
        say(f"bench: note: {', '.join(without)} of the run has no baseline, and is not judged")
    return gate.plan(device, suites or known or mine, run.ran_in)


def judge(plan: Plan, run: Run, seed: int, interleave: Interleave) -> None:
    """Hold a run against the baselines, and say what came of it.

    A win is recorded as the new baseline. Raises CheckFailed for what a second session finds
    slower, too, and Inconclusive where that could not be held, where cases can no longer be timed,
    or where nothing could be told.
    """
    if device_of(run, plan.device.folder.parent) != plan.device:
        raise BadInput(f"the run was measured on {device_of(run).name}, not {plan.device.name}.")
    held = gate.hold(plan, run, seed)
    to = results.console()
    for each in held:
        to.print(f"Baseline {each.before.run_id} of {', '.join(each.suites)}:")
        results.show_changes(each.found, to)
    if slower := [change for each in held for change in each.with_verdict("SLOWER")]:
        locked = all(each.before.lock_sha256 and each.after.lock_sha256 for each in held)
        then = ": a second session, both locks in turns" if locked else ""
        say(f"bench: {len(slower)} cases look slower{then}")
        _second(gate.confirm(held, interleave, ROOT))
    if lost := [line for each in held for line in each.lost]:
        raise Inconclusive(f"the baseline timed these, and now they do not run:\n{_lines(lost)}")
    if not any(
        change.found.verdict != "INCONCLUSIVE" for each in held for change in each.found.changes
    ):
        raise Inconclusive(f"every case is INCONCLUSIVE: {gate.SEEN_NOTHING}", hint=gate.LONGER)
    if not slower:
        _win(held, run)


def _second(second: gate.Second) -> None:
    """Raise for what the second session confirmed, or could not tell; say what it refuted."""
    for line in second.refuted:
        say(f"bench: not confirmed: {line}")
    open_ = f"\nnot decided:\n{_lines(second.undecided)}" if second.undecided else ""
    if second.confirmed:
        found = [
            f"{each.case}: {each.ratio:.3f} times as long ({each.ci[0]:.3f} to {each.ci[1]:.3f}); "
            f"{', '.join(each.because) or 'nothing that the runs tell of differs'}"
            for each in second.confirmed
        ]
        raise CheckFailed(
            f"slower than the baseline, which a second session confirms:\n{_lines(found)}{open_}",
            hint="Hold back what moved; or, if this is the price, record a new baseline: "
            "docs/benchmarking.md, Regressions.",
        )
    if second.undecided:
        raise Inconclusive(
            f"these look slower, and no second session could tell:\n{_lines(second.undecided)}",
            hint="docs/benchmarking.md, Regressions, says what to do about each.",
        )


def _win(held: Sequence[Held], run: Run) -> None:
    """Record a run in which something is faster and nothing slower."""
    better = {
        suite: [change for change in each.with_verdict("FASTER") if change.after.suite == suite]
        for each in held
        for suite in each.suites
    }
    won = [suite for suite, changes in better.items() if changes]
    if not won:
        say("bench: nothing is slower than the baseline.")
        return
    for suite in won:
        best = min(better[suite], key=lambda change: change.found.ratio)
        say(
            f"bench: {len(better[suite])} cases of {suite} are faster than the baseline, "
            f"{best.found.b} most: {best.found.ratio:.3f} of its time. This run is the new one."
        )
    keep(run, won)


def history(name: str, *, write: bool) -> None:
    """Print the history of a device, HERE being this machine; with `write` renew changes.json.

    Raises BadInput that names the devices with recorded runs where this is none of them.
    """
    device = named(name, BENCHMARKS)
    series = changes.series(device.runs())
    found = changes.changes(series, ROOT)
    to = results.console()
    to.print(f"{device.name}: {len(device.runs())} runs")
    table.show(series, found, to)
    if write:
        _wrote(record.rewrite_changes(device, ROOT))
    elif _stale(device, found):
        say(f"bench: {shown(device.changes)} is not what the runs give.")
        say("  Renew it: ./nox -s bench -- --history --record")


def _stale(device: Device, found: Sequence[changes.Change]) -> bool:
    try:
        return device.changes.read_text(encoding="utf-8") != changes.text(found)
    except OSError:
        return True


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)
