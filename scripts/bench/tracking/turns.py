"""The second session: two locks measured in turns, for the cases that look slower."""

from collections.abc import Collection

from scripts.bench.compare import Compared
from scripts.bench.tracking.locks import Webui
from scripts.workspace.errors import Inconclusive


def interleaved(
    before: Webui,
    after: Webui,
    cases: Collection[str],
    *,
    seed: int,
    budget_s: float | None,
    full: bool,
) -> Compared:
    """Measure cases of one suite with both locks in turns."""
    raise Inconclusive("this version cannot measure two locks in turns")
