"""`--advise`: read stored runs, print the advice, and what `auto` makes of it for each profile."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from scripts.bench.advise import auto, table
from scripts.bench.advise.advice import advised
from scripts.bench.advise.evidence import gathered
from scripts.bench.schema import Run, load
from scripts.build.launch import FLAGS
from scripts.workspace.cli import say
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Workspace
from scripts.workspace.paths import BENCH, shown


def run(workspace: Workspace, of: Sequence[Path], to: Console) -> None:
    """Print a table for each device and its versions, of the runs `of` or of all that are stored.

    Raises BadInput where there is none, and for a file of `of` or of benchmarks/ that is damaged.
    """
    runs = [load(path) for path in of] if of else list(stored())
    known = gathered(runs)
    if not known:
        raise BadInput(
            f"none of {len(runs)} runs measured attention." if runs else "no run is stored.",
            hint="Measure first: ./nox -s bench -- --suite attn,unet",
        )
    for where, evidence in known.items():
        table.show(where, [advised(each) for each in evidence], to)
    to.print(
        "Ratios are times with a 95 % interval: below 1 the option is the faster one. "
        "Peak MB is what a pass takes beyond weights and inputs, and how many times the least of "
        "all options that is."
    )
    for name, profile in workspace.profiles.items():
        asking = profile.model_copy(update={"attention": "auto"})
        changed = workspace.model_copy(update={"profiles": {name: asking}})
        found = auto.resolved(changed, name)
        to.print(
            escape(f'{name}: attention = "auto" is {FLAGS[found.option][0]} ({found.reason}).'),
        )


def stored() -> Iterator[Run]:
    """Yield the committed runs, then those of .workspace/bench/ that are not among them.

    A local one that cannot be read is named and left out: it may be of an older schema.
    """
    committed = auto.committed()
    yield from committed
    known = {each.run_id for each in committed}
    for path in sorted(BENCH.glob("*.json")):
        if path.stem in known:
            continue
        try:
            yield load(path)
        except BadInput as refused:
            say(f"bench: {shown(path)} is left out: {refused.message}")
