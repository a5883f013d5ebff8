"""`./nox -s build`: build a profile's image, and say what it consists of."""

import argparse
import sys
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table

from scripts.bench.advise import auto
from scripts.build import (
    budget,
    engine,
    exchange,
    history,
    recorded,
    tree,
    verify,
)
from scripts.build.bake import replacements
from scripts.build.build import build, build_stage, require
from scripts.build.contexts import replaceable
from scripts.build.engine import Engine
from scripts.build.image import built as built_image
from scripts.build.push import publish
from scripts.build.recipe import recipe
from scripts.build.record import BuildRecord, latest
from scripts.build.record import history as records
from scripts.build.shell import shell
from scripts.lock.images import Tag
from scripts.workspace.cli import run, say
from scripts.workspace.errors import BadInput, CheckFailed, Failure
from scripts.workspace.model import Workspace, load
from scripts.workspace.paths import shown

# How many differences a person is shown of two builds.
SHOWN = 40


def table(record: BuildRecord, built: bool) -> Table:
    """Return the layers of a build as a table: name, sizes in MB, cached or built, seconds."""
    made = Table(title=f"{record.image}  {record.digest[:19]}", title_justify="left")
    made.add_column("layer")
    made.add_column("pull MB", justify="right")
    made.add_column("disk MB", justify="right")
    made.add_column("")
    made.add_column("seconds", justify="right")
    for layer in record.layers:
        made.add_row(
            layer.name,
            _megabytes(layer.size),
            _megabytes(layer.unpacked),
            "cached" if layer.cached or not built else "built",
            f"{layer.seconds:.1f}" if built and not layer.cached else "",
        )
    made.add_section()
    made.add_row(
        "all",
        _megabytes(_sum(layer.size for layer in record.layers)),
        _megabytes(_sum(layer.unpacked for layer in record.layers)),
        "",
        f"{record.seconds:.1f}" if built else "",
    )
    return made


def _sum(sizes: Iterable[int | None]) -> int | None:
    """Return the sum; None where a size is not known."""
    known = list(sizes)
    return None if None in known else sum(size or 0 for size in known)


def _megabytes(size: int | None) -> str:
    return "unavailable" if size is None else f"{size / 1e6:,.1f}"


def show_impact(args: argparse.Namespace, console: Console) -> None:
    """Print what a build of the profile would do, against the last build or a git ref."""
    # What foretells resolves, and takes long to import for a build that does not.
    from scripts.build import impact, supposed

    workspace = load()
    last = latest(args.profile)
    if args.impact:
        before = supposed.at(args.impact, args.profile)
    elif last is not None and last.recipe is not None:
        before = last.recipe
    else:
        raise BadInput(
            f"{args.profile} was not built here yet.",
            hint="Compare with a commit: ./nox -s build -- --impact main",
        )
    locks = supposed.locks(workspace, args.profile, args.set)
    replaced = replacements(args.context, replaceable())
    after = recipe(workspace, args.profile, replaced, locks)
    measured = None
    if last is not None and last.recipe is not None:
        sizes = {layer.name: layer.size for layer in last.layers if layer.size is not None}
        measured = impact.Measured(last.recipe, sizes)
    console.print(f"Against {args.impact or 'the last build'}:", highlight=False)
    first = supposed.named(workspace, args.set)
    impact.show(impact.effects(before, after, measured, first), console)
    if args.set and after == recipe(workspace, args.profile, replaced):
        console.print(f"{' and '.join(args.set)}: that is what is locked.", highlight=False)
    if impact.configuration_changes(before, after):
        console.print("The configuration of the image changes, too.")


def _hold_to_budget(record: BuildRecord, budget_mb: Mapping[str, float]) -> None:
    """Raise CheckFailed when a layer is over its budget, after naming each that is."""
    if unknown := budget.unmeasured(record.layers, budget_mb):
        say(f"This engine does not tell how large layers are; not checked: {', '.join(unknown)}.")
    if found := list(budget.over(record.layers, budget_mb)):
        for line in found:
            say(line)
        raise CheckFailed(
            f"{record.image} is built, but {len(found)} of its layers are over their budget.",
            hint="./nox -s build -- --tree shows what is in them; budgets are in workspace.toml, "
            "build.budget_mb.",
        )


def _hold(
    workspace: Workspace,
    record: BuildRecord,
    daemon: Engine,
    args: argparse.Namespace,
    console: Console,
) -> None:
    """Raise CheckFailed for an image that is not what it should be, after saying why."""
    compared = recorded.comparison(record)
    if compared.same:
        console.print(compared.sentence, highlight=False, soft_wrap=True)
    else:
        say(compared.sentence)
        if not args.verify:
            recorded.hold_to_verified(record)
    budget.hold_to_count(record.image, record.layers, workspace.build.layers)
    _hold_to_budget(record, workspace.build.budget_mb)
    if args.verify:
        _verify(record, daemon, args.context, console)


def _verify(record: BuildRecord, daemon: Engine, context: list[str], console: Console) -> None:
    """Build the image again from nothing; raise CheckFailed when it is another one."""
    console.print("Building it again from nothing.")
    if found := verify.differences(record, daemon, context):
        for line in found[:SHOWN]:
            say(line)
        if len(found) > SHOWN:
            say(f"... and {len(found) - SHOWN} more.")
        raise CheckFailed(f"{record.image} is not the same when it is built again.")
    console.print(f"The same to the bit: {record.digest}", soft_wrap=True)
    if not record.replaced:
        recorded.remember(record)
        console.print(f"{shown(recorded.VERIFIED)} holds it: commit it with the inputs.")


def _own_up(
    workspace: Workspace, daemon: Engine, record: BuildRecord, tag: Tag, console: Console
) -> None:
    """Say and record that a builder has pushed an image already which a check now refuses.

    Nothing is attested of it. That a registry does not answer does not hide what the check said.
    """
    try:
        pushed = publish(workspace, daemon, record, tag, (), console).pushed
        say(f"The builder has pushed it already: {pushed}")
    except Failure as failure:
        say(f"The builder has pushed it to {tag}, and that could not be recorded.")
        say(failure.message)


def main(args: argparse.Namespace) -> int:
    """Build and report."""
    workspace = load()
    workspace.profile(args.profile)
    budget.check(workspace.build, budget.layer_names())
    console = Console()
    shared = exchange.parse(args)
    if args.impact is not None:
        show_impact(args, console)
        return 0
    if args.set:
        raise BadInput("--set supposes a version for --impact; a build takes what is locked.")
    if args.history:
        if not (made := list(records(args.profile))):
            console.print(f"No build of {args.profile} is recorded here.")
            return 0
        console.print(history.table(args.profile, history.uses(reversed(made))))
        return 0
    if args.tree:
        built_image(args.profile)  # an engine is of no use without
    for folder in exchange.without_cache(shared):
        say(f"There is no cache in {shown(folder)} yet.")
    if not args.tree:
        stage = args.shell if args.shell is not None else args.target
        require(workspace, args.profile, args.context, stage)
    daemon = engine.ensure()
    if args.builder:
        daemon = exchange.built_by(daemon, args.builder)
    if args.tree:
        console.print(tree.tree(built_image(args.profile), daemon, console), soft_wrap=True)
        return 0
    if args.shell is not None:
        return shell(workspace, args.profile, args.context, daemon, console, args.shell)
    if args.target is not None:
        build_stage(workspace, args.profile, args.context, daemon, console, args.target, shared)
        console.print(f"{args.target} is built.")
        return 0
    if args.verify:
        verify.require(workspace, args.profile, args.context, daemon)
    record, built = build(workspace, args.profile, args.context, daemon, console, shared)
    console.print(table(record, built))
    for name, value in record.replaced.items():
        console.print(f"{name} was replaced by {value}", highlight=False, soft_wrap=True)
    if attention := auto.resolved(workspace, args.profile).told():
        console.print(f'attention = "auto" is {attention}', highlight=False, soft_wrap=True)
    if not built:
        console.print("Nothing changed since it was built.")
    try:
        _hold(workspace, record, daemon, args, console)
    except CheckFailed:
        if args.builder and shared.push:
            _own_up(workspace, daemon, record, shared.push, console)
        raise
    if shared.push:
        record = publish(workspace, daemon, record, shared.push, shared.attest, console)
        console.print(f"Pushed: {record.pushed}", highlight=False, soft_wrap=True)
        if args.builder:
            console.print("It is not in this machine's engine. For bench and serve, build once")
            console.print("more without --push, which brings it here.")
    return 0


if __name__ == "__main__":
    sys.exit(run("build", main))
