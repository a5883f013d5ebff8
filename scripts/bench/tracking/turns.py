"""The second session: two locks measured in turns, for the cases that look slower."""

from collections.abc import Collection
from dataclasses import replace

from scripts.bench.ab.ask import Side, about
from scripts.bench.ab.blocks import LEAST_PAIRS
from scripts.bench.ab.session import interleave
from scripts.bench.compare import Compared
from scripts.bench.tracking.locks import Webui
from scripts.workspace.model import load


def interleaved(
    before: Webui,
    after: Webui,
    cases: Collection[str],
    *,
    seed: int,
    budget_s: float | None,
    full: bool,
) -> Compared:
    """Measure cases of one suite with both locks in turns; `full` is the size that their run had.

    Without `budget_s` it is what `--ab` takes. Raises BadInput for cases of a suite that cannot be
    measured so, and what `interleave` raises.
    """
    old, new = (
        Side(f"{each.name} ({each.where})", each.text, each.probe) for each in (before, after)
    )
    (asked,) = about(cases, budget_s or 0, seed, "full" if full else "default")
    usual = LEAST_PAIRS * load().bench.budget_s[asked.suite]
    return interleave(old, new, replace(asked, budget_s=budget_s or usual))
