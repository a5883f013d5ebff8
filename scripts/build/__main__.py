"""`./nox -s build`: build a profile's image, and say what it consists of."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.build import engine, exchange, verify
from scripts.build.build import build, build_stage
from scripts.build.push import publish
from scripts.build.record import BuildRecord
from scripts.workspace.cli import run, say
from scripts.workspace.errors import CheckFailed
from scripts.workspace.model import load
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


def main(args: argparse.Namespace) -> int:
    """Build and report."""
    workspace = load()
    workspace.profile(args.profile)
    console = Console()
    shared = exchange.parse(args)
    for cache in shared.cache_from:
        if isinstance(cache.place, Path) and not cache.place.exists():
            say(f"There is no cache in {shown(cache.place)} yet.")
    daemon = engine.ensure()
    if args.builder:
        daemon = exchange.built_by(daemon, args.builder)
    if args.target is not None:
        build_stage(workspace, args.profile, args.context, daemon, console, args.target, shared)
        console.print(f"{args.target} is built.")
        return 0
    record, built = build(workspace, args.profile, args.context, daemon, console, shared)
    console.print(table(record, built))
    for name, value in record.replaced.items():
        console.print(f"{name} was replaced by {value}", highlight=False, soft_wrap=True)
    if not built:
        console.print("Nothing changed since it was built.")
    if shared.push:
        record = publish(workspace, daemon, record, shared.push, shared.attest, console)
        console.print(f"Pushed: {record.pushed}", highlight=False, soft_wrap=True)
        if args.builder:
            console.print("It is not in this machine's engine. For bench and serve, build once")
            console.print("more without --push, which brings it here.")
    if args.verify:
        console.print("Building it again from nothing.")
        if found := verify.differences(record, daemon, args.context):
            for line in found[:SHOWN]:
                say(line)
            if len(found) > SHOWN:
                say(f"... and {len(found) - SHOWN} more.")
            raise CheckFailed(f"{record.image} is not the same when it is built again.")
        console.print(f"The same to the bit: {record.digest}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(run("build", main))
