"""Advice as tables for a person, one for each device and versions."""

from collections.abc import Iterable, Sequence
from math import log

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.bench import stats
from scripts.bench.advise.advice import DEFAULT, Advice, Ratio, against_sdp, combined, weighed
from scripts.bench.advise.evidence import BACKENDS, Evidence, Part, Setting
from scripts.build.launch import FLAGS
from scripts.workspace.model import Optimization

_STYLES = {"FASTER": "green", "SLOWER": "red", "SAME": "none", "INCONCLUSIVE": "yellow"}


def show(where: Setting, advices: Sequence[Advice], to: Console) -> None:
    """Print a device's table, and below it what a reader must know of its rows."""
    title = f"{where.device}; torch {where.torch}, xformers {where.xformers or 'not installed'}"
    made = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("workload", overflow="fold")
    made.add_column("images", justify="right", no_wrap=True)
    made.add_column("type", no_wrap=True)
    made.add_column("option", no_wrap=True)
    made.add_column("time over sdp's", overflow="fold")
    made.add_column("next", no_wrap=True)
    made.add_column("time over the next's", overflow="fold")
    made.add_column("peak MB", justify="right", no_wrap=True)
    made.add_column("evidence", no_wrap=True)
    sources = list(dict.fromkeys(advice.evidence.run_id for advice in advices))
    for advice in advices:
        made.add_row(*row(advice, sources.index(advice.evidence.run_id) + 1))
    to.print(made)
    for number, source in enumerate(sources, 1):
        to.print(escape(f"[{number}] run {source}"))
    for line in _notes(advices):
        to.print(escape(line))
    to.print()


def row(advice: Advice, source: int) -> list[str]:
    """The cells of one workload; `source` is the number of its run below the table."""
    evidence, option = advice.evidence, advice.option
    workload = evidence.workload
    scaled = " (scaled)" if evidence.scaled else ""
    flag = FLAGS[option][0] + ("" if advice.decided else " (default)")
    next_best = advice.next_best
    over_next = None if next_best is None else against(evidence, option, next_best)
    return [
        escape(workload.name + scaled),
        str(workload.images),
        workload.dtype or "-",
        flag,
        _cell(None if option == DEFAULT else against_sdp(evidence)[option]),
        next_best or "-",
        _cell(over_next),
        _memory(evidence, option),
        escape(f"{evidence.suite} [{source}]"),
    ]


def against(evidence: Evidence, option: Optimization, other: Optimization) -> Ratio | None:
    """An option's time over another's; None where they did not run in the same rounds."""
    if DEFAULT in (option, other):
        ratios = against_sdp(evidence)
        return ratios[other].inverse() if option == DEFAULT else ratios[option]
    if any(len(p.samples(option)) != len(p.samples(other)) for p in evidence.parts):
        return None
    found = stats.judge([_difference(part, option, other) for part in evidence.parts])
    parts = zip(evidence.parts, found, strict=True)
    return combined([weighed(part, option, other, each) for part, each in parts])


def _difference(part: Part, option: Optimization, other: Optimization) -> stats.Difference:
    """What the rounds tell of two options. The clock of a round is one, so cycles add nothing."""
    mine, theirs = part.samples(option), part.samples(other)
    again = part.again
    noise = None if again is None else stats.Estimate(*map(log, (again.ratio, *again.ci)))
    return stats.Difference(
        a=part.cases[other].id,
        b=part.cases[option].id,
        interval=stats.log_ratio(theirs, mine),
        margin=stats.margin_with_floor(noise),
        p=stats.p_value(theirs, mine),
        enough=len(mine) >= stats.LEAST_ROUNDS,
    )


def _cell(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    interval = f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
    return f"{interval} [{_STYLES[ratio.verdict]}]{ratio.verdict}[/]"


def _memory(evidence: Evidence, option: Optimization) -> str:
    """The option's peak, and how many times the least of all options that is."""
    peaks = [evidence.peak_bytes(name) for name in evidence.options()]
    known = [peak for peak in peaks if peak]
    mine = evidence.peak_bytes(option) if option in evidence.options() else None
    return f"{mine / 1e6:,.0f} ({mine / min(known):.2f}x)" if mine else "-"


def _notes(advices: Sequence[Advice]) -> Iterable[str]:
    """Why a row is the default, what was scaled, what single calls tell, and what did not run."""
    for advice in advices:
        if not advice.decided:
            yield f"{advice.evidence.workload} is the default: {advice.why}."
    evidence = [advice.evidence for advice in advices]
    for name, scaled in {e.workload.name: e.scaled for e in evidence if e.scaled}.items():
        yield f"{name} was scaled: {scaled}."
    if any(each.suite == "attn" for each in evidence):
        yield (
            "Evidence attn is of attention alone, for prompts of 77 tokens: each kind of call "
            "times its number in a step, added up. A whole step gains less."
        )
    if any(each.suite == "attn" and each.scaled for each in evidence):
        yield "A scaled call counts as often as its batch and heads were divided."
    refused = {
        option: reasons[0]
        for each in reversed(evidence)
        for option in dict.fromkeys(BACKENDS.values())
        if (reasons := each.reasons(option))
    }
    for option, reason in refused.items():
        yield f"{FLAGS[option][0]}: {reason.splitlines()[0]}"
