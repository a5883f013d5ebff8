"""Which formats there are, and the files that were asked for."""

import difflib
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.exports import bencher, github, markdown, openmetrics, otava, system_info
from scripts.bench.schema import Run
from scripts.workspace.cli import say
from scripts.workspace.errors import BadInput
from scripts.workspace.files import write_all
from scripts.workspace.paths import shown

OF_ONE_RUN: Mapping[str, Callable[[Run], str]] = {
    "bencher": bencher.text,
    "github-bigger": github.bigger,
    "github-smaller": github.smaller,
    "markdown": markdown.text,
    "openmetrics": openmetrics.text,
    "system-info": system_info.text,
}
OF_RUNS: Mapping[str, Callable[[Sequence[Run]], str]] = {"otava": otava.text}
FORMATS = (*OF_ONE_RUN, *OF_RUNS)
STDOUT = "-"


@dataclass(frozen=True)
class Export:
    """A format, and the file it goes to; None is stdout."""

    format: str
    file: Path | None


def wanted(arguments: Sequence[str]) -> list[Export]:
    """What FORMAT=FILE ask for. Raises BadInput for what is no format or can be no file."""
    exports = [_wanted(each) for each in arguments]
    for file, count in Counter(export.file for export in exports).items():
        if count > 1:
            raise BadInput(f"{count} exports go to {file or 'stdout'}: each needs its own file.")
    return exports


def _wanted(argument: str) -> Export:
    name, separator, file = argument.partition("=")
    if name not in FORMATS:
        close = difflib.get_close_matches(name, FORMATS, n=1)
        raise BadInput(
            f"there is no export format {name!r}; there are {', '.join(FORMATS)}.",
            hint=f"Did you mean {close[0]}?" if close else "",
        )
    if not separator or not file:
        raise BadInput(f"--export {argument} names no file.", hint=f"--export {name}=FILE, or =-")
    if file != STDOUT and Path(file).is_dir():
        raise BadInput(f"--export {argument}: {file} is a folder.")
    return Export(name, None if file == STDOUT else Path(file))


def write(exports: Sequence[Export], runs: Sequence[Run]) -> None:
    """Write `runs` in every format, all of the files or none. Raises BadInput where it has none."""
    texts = [render(export.format, runs) for export in exports]
    made = list(zip(exports, texts, strict=True))
    write_all({export.file: text for export, text in made if export.file is not None})
    for export, text in made:
        if export.file is None:
            sys.stdout.write(text)
        else:
            say(f"bench: wrote {shown(export.file)} ({export.format})")
    if any(export.format in OF_RUNS for export in exports) and (gone := otava.left_out(runs)):
        say(f"bench: otava: without {len(gone)} cases that are not ok in every run: {gone[0]}, ...")


def render(name: str, runs: Sequence[Run]) -> str:
    """`runs` in the format `name`. Raises BadInput for several where it takes one."""
    if name in OF_RUNS:
        return OF_RUNS[name](runs)
    if len(runs) > 1:
        raise BadInput(
            f"{name} takes one run, and {len(runs)} were given.",
            hint=f"Several go into: {', '.join(OF_RUNS)}.",
        )
    return OF_ONE_RUN[name](runs[0])
