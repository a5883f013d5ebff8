"""How well the builds of a profile used BuildKit's cache, from their records."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich import box
from rich.table import Table

from scripts.build.progress import is_work
from scripts.build.record import BuildRecord, StepRecord


@dataclass(frozen=True)
class Use:
    """What a build ran and what it took from the cache; seconds are summed over steps.

    `saved_s` is how long the cached steps took when they last ran, as far as a record tells: of
    `unknown` of them none does. `received` is in bytes, None in a record that does not tell.
    """

    record: BuildRecord
    run: int
    run_s: float
    cached: int
    saved_s: float
    unknown: int
    received: int | None


def uses(records: Iterable[BuildRecord]) -> Iterator[Use]:
    """Yield the use of each record, given oldest first.

    Only steps of stages count, not transfers and BuildKit's own.
    """
    last_s: dict[str, float] = {}
    for record in records:
        steps = [step for step in record.steps if is_work(step.name)]
        run = [step for step in steps if not step.cached]
        cached = [step for step in steps if step.cached]
        last_s |= _seconds(run)
        known = [last_s[step.name] for step in cached if step.name in last_s]
        received = [step.received for step in record.steps if step.received is not None]
        yield Use(
            record=record,
            run=len(run),
            run_s=sum(step.seconds for step in run),
            cached=len(cached),
            saved_s=sum(known),
            unknown=len(cached) - len(known),
            received=sum(received) if received else None,
        )


def _seconds(steps: Iterable[StepRecord]) -> dict[str, float]:
    return {step.name: step.seconds for step in steps}


def table(profile: str, found: Iterable[Use]) -> Table:
    """Return the uses as a table, one build a row: seconds, share of cached steps, MB received."""
    made = Table(
        title=f"builds of {profile}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        # Narrow enough for 80 columns.
        padding=0,
    )
    for column in ("utc", "commit"):
        made.add_column(column, no_wrap=True)
    for column in ("seconds", "run", "run s", "cached", "saved", "share", "MB"):
        made.add_column(column, justify="right", no_wrap=True)
    for use in found:
        record = use.record
        steps = use.cached + use.run
        made.add_row(
            record.utc[:16].replace("T", " "),
            record.git_sha[:9] + ("+" if record.git_dirty else ""),
            f"{record.seconds:.1f}",
            str(use.run),
            f"{use.run_s:.1f}",
            str(use.cached),
            f"{'≥ ' if use.unknown else ''}{use.saved_s:.1f}",
            f"{use.cached / steps:.0%}" if steps else "",
            "" if use.received is None else f"{use.received / 1e6:,.1f}",
        )
    return made
