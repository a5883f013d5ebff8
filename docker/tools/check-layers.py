"""Refuses layers of which two hold the same path with other content.

Which of the two is seen would depend on their order, and a bump of one would change the other. Each
folder in the one that is given is a layer.
"""

import stat
import sys
from pathlib import Path

Found = dict[Path, tuple[str, Path]]


def same(one: Path, other: Path) -> bool:
    """Return whether two paths are of one kind, with the same mode and, but folders, content."""
    left, right = one.lstat(), other.lstat()
    if left.st_mode != right.st_mode:
        return False
    if stat.S_ISDIR(left.st_mode):
        return True
    if stat.S_ISLNK(left.st_mode):
        return one.readlink() == other.readlink()
    return left.st_size == right.st_size and one.read_bytes() == other.read_bytes()


def main() -> int:
    """Print a line for each path that two layers do not agree on; return the exit code."""
    seen: Found = {}
    different = 0
    for layer in sorted(Path(sys.argv[1]).iterdir()):
        for path in sorted(layer.rglob("*")):
            name = path.relative_to(layer)
            before, first = seen.setdefault(name, (layer.name, path))
            if first != path and not same(first, path):
                print(f"/{name}: {before} and {layer.name} hold different files.")
                different += 1
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
