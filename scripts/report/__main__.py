"""`./nox -s report`: one page, which needs neither a network nor a server."""

import argparse
import sys

from scripts.report.page import page
from scripts.report.render import html
from scripts.report.sources import read
from scripts.workspace.cli import run, say
from scripts.workspace.files import write_atomic
from scripts.workspace.paths import BENCHMARKS, WORKSPACE, shown


def main(args: argparse.Namespace) -> int:
    """Write the page; name on stderr what could not be read, which the page names, too."""
    found = read(BENCHMARKS, WORKSPACE)
    for problem in found.problems:
        say(f"report: left out: {problem}")
    made = page(found)
    for section in made.sections:
        if section.missing:
            say(f"report: {section.title}: {section.missing.what} ({section.missing.command})")
    path = args.output.resolve() / "index.html"
    write_atomic(path, html(made))
    print(f"report: wrote {shown(path)} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(run("report", main))
