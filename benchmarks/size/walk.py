"""Imports every module of the built image, and compares two such walks.

./nox -s build, and then, from the root of the clone:

    python -m benchmarks.size.walk collect FILE      of the image of the profile sandbox
    python -m benchmarks.size.walk compare BEFORE AFTER
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from scripts.build.engine import ensure
from scripts.build.image import built
from scripts.workspace.files import write_atomic
from tests.support.containers import strict

WALKER = Path(__file__).with_name("walker.py")
ENVIRONMENTS = ("webui", "worker")
TIMEOUT_S = 1800

Walk = Mapping[str, str | None]


def collect() -> Iterator[str]:
    """Yield a line of JSON for each module and library: its name, and why it fails or null."""
    engine, image = ensure(), built("sandbox")
    mounted = {str(WALKER): {"bind": "/walker.py", "mode": "ro"}}
    for environment in ENVIRONMENTS:
        python = f"/opt/{environment}/bin/python"
        with strict(engine, image, ["/walker.py"], volumes=mounted, entrypoint=[python]) as started:
            code = started.wait(TIMEOUT_S)
            assert code == 0, started.log()[-2000:]
            for line in started.log().splitlines():
                name, reason = json.loads(line)
                yield json.dumps([f"{environment}: {name}", reason])


def compare(before: Walk, after: Walk) -> Iterator[str]:
    """Yield what two walks have in common and each thing that came out otherwise."""
    for words, walk in (("before", before), ("after", after)):
        failing = sum(reason is not None for reason in walk.values())
        yield f"{words}: {len(walk)} modules and libraries, of which {failing} do not load"
    gone = before.keys() - after.keys()
    yield f"gone: {len(gone)}"
    yield from (f"  {count:5}  {group}" for group, count in counted(gone))
    yield f"new: {len(after.keys() - before.keys())}"
    both = sorted(before.keys() & after.keys())
    worse = [name for name in both if before[name] is None and after[name] is not None]
    yield f"loaded before and not after: {len(worse)}"
    yield from (f"  {name}: {after[name]}" for name in worse)
    better = [name for name in both if before[name] is not None and after[name] is None]
    yield f"loads after and not before: {len(better)}"
    yield from (f"  {name}: {before[name]}" for name in better)
    other = [name for name in both if before[name] and after[name] and before[name] != after[name]]
    yield f"fails for another reason: {len(other)}"
    yield from (f"  {name}: {before[name]} -> {after[name]}" for name in other)


def counted(names: Iterable[str]) -> list[tuple[str, int]]:
    """Return how many names there are of each package; a library stands for itself."""
    return sorted(Counter(name if "/" in name else name.split(".")[0] for name in names).items())


def read(path: str) -> Walk:
    """Return a walk that `collect` wrote."""
    return dict(json.loads(line) for line in Path(path).read_text().splitlines())


def main() -> int:
    """Collect or compare."""
    match sys.argv[1:]:
        case ["collect", file]:
            write_atomic(Path(file), "".join(f"{line}\n" for line in collect()))
        case ["compare", before, after]:
            print("\n".join(compare(read(before), read(after))))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
