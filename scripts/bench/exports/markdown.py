"""GitHub's Markdown, for a pull request or an issue: a table for each shape."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from scripts.bench.exports.figures import Figures, device, figures, in_units, is_bounded, one_line
from scripts.bench.schema import Case, Comparison, Run
from scripts.bench.stats import Estimate

HEAD = ("backend", "ran", "median ms", "per second", "ratio", "verdict", "samples")
ISSUE = "issue us"
"""A last column, only where the time to issue a call is not its time: on a GPU."""
# An underscore between letters or digits is never markup, and kernels have many.
_SPECIAL = re.compile(r"[\\`*\[\]<>|~&#]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")


def text(run: Run) -> str:
    """The run as tables; below them, what has no figures and why, and what was measured."""
    found = {each.case.id: each for each in figures(run)}
    blocks = ["\n".join(_table(cases, found, run.compare)) for cases in _shapes(run.cases)]
    if missing := list(_missing(run.cases)):
        blocks.append("\n".join(missing))
    return "\n\n".join([*blocks, _provenance(run)]) + "\n"


def _shapes(cases: Iterable[Case]) -> Iterator[list[Case]]:
    """The cases of each shape, which follow one another."""
    for _, each in groupby(cases, key=lambda case: (case.suite, str(case.shape.get("name")))):
        yield list(each)


def _table(
    cases: Sequence[Case], found: Mapping[str, Figures], compare: Sequence[Comparison]
) -> Iterator[str]:
    first = cases[0]
    title = f"{first.suite} {first.shape.get('name', '')}"
    scaled = f" (scaled: {first.shape['scaled']})" if first.shape.get("scaled") else ""
    yield f"### {_cell(title + scaled)}"
    yield ""
    has_issue = any(case.issue_ns is not None for case in cases)
    yield _row([*HEAD, ISSUE] if has_issue else HEAD)
    yield _row(["---", "---", "---:", "---:", "---:", "---", "---:", *["---:"] * has_issue])
    for case in cases:
        cells = _cells(case, found.get(case.id), compare)
        issue = ["-" if case.issue_ns is None else f"{case.issue_ns / 1e3:.4g}"] * has_issue
        yield _row(_cell(each) for each in [*cells, *issue])


def _cells(case: Case, found: Figures | None, compare: Sequence[Comparison]) -> list[str]:
    backend = case.id.rsplit("/", 1)[-1]
    if found is None:
        return [backend, "-", case.status, "-", "-", "-", "-"]
    against = [each for each in compare if each.b == case.id]
    is_reference = any(each.a == case.id for each in compare)
    ratios = "; ".join(_number(Estimate(each.ratio, *each.ci)) for each in against)
    verdicts = "; ".join(each.verdict for each in against)
    return [
        backend,
        case.resolved_kernel or "-",
        _number(in_units(found.time_ns, 1e6)),
        "-" if found.throughput is None else _rate(*found.throughput),
        ratios or "-",
        verdicts or ("reference" if is_reference else "-"),
        str(len(case.samples_ns)),
    ]


def _missing(cases: Iterable[Case]) -> Iterator[str]:
    """A list of what has no figures: backend, status and reason, each once."""
    seen: dict[tuple[str, str, str, str], int] = {}
    for case in cases:
        if case.status != "ok":
            key = (case.suite, case.requested, case.status, case.reason or "no reason given")
            seen[key] = seen.get(key, 0) + 1
    for (suite, requested, status, reason), count in seen.items():
        times = "1 case" if count == 1 else f"{count} cases"
        yield f"- {_cell(f'{suite}: {requested} {status} ({times}): {reason}')}"


def _provenance(run: Run) -> str:
    changed = " and changes" if run.git.dirty else ""
    commit = f"{run.git.sha[:12]}{changed}" if run.git.sha else "unknown"
    xformers = run.sw.xformers or "not installed"
    image, lock = run.image_digest or "none", run.lock_sha256 or "none"
    return _cell(
        f"Run {run.run_id} of {run.utc} on {device(run)}; torch {run.sw.torch}, xformers "
        f"{xformers}, Python {run.sw.python}; commit {commit}, image {image[:19]}, lock "
        f"{lock[:12]}, seed {run.seed}. Medians and ratios with their 95 % intervals; a "
        "ratio is the time over the reference's."
    )


def _number(found: Estimate) -> str:
    """`1.234 (1.2 to 1.3)` with four significant digits; no interval where there is none."""
    interval = f" ({found.low:.4g} to {found.high:.4g})" if is_bounded(found) else ""
    return f"{found.value:.4g}{interval}"


def _rate(found: Estimate, unit: str) -> str:
    return f"{_number(found)} {unit.partition('/')[0]}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """`text` on one line, and nothing in it Markdown; a cell is never empty."""
    return _SPECIAL.sub(r"\\\g<0>", one_line(text)) or "-"
