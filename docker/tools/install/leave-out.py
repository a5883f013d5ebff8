"""Remove from a folder what a list names, and say how much: leave-out.py LIST FOLDER.

A line of the list is a pattern of paths below the folder, in which * stands for any characters, /
as well. What it matches goes, a folder with all that is in it; with ! before the pattern it stays.
The first line that matches decides. See leave-out.toml.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path


def pattern(path: str, lines: Sequence[str]) -> str | None:
    """Return the line by which a path goes, for itself or for a folder that it is in."""
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        head = "/".join(parts[:end])
        for line in lines:
            if fnmatchcase(head, line.removeprefix("!")):
                return None if line.startswith("!") else line
    return None


def main(listing: Path, folder: Path) -> None:
    """Remove, and print how many bytes went by each line."""
    lines = listing.read_text().splitlines()
    removed = dict.fromkeys(lines, 0.0)
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place, name)
            line = pattern(path.relative_to(folder).as_posix(), lines)
            if line is None:
                continue
            removed[line] += size(path)
            if name in folders and not path.is_symlink():
                folders.remove(name)
                shutil.rmtree(path)
            else:
                path.unlink()
    for line in lines:
        if not line.startswith("!"):
            print(f"left out {removed[line] / 1e6:8.2f} MB  {line}")


def size(path: Path) -> float:
    """Return the bytes of a file, or of all files in a folder; its share of one with more names."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size / path.lstat().st_nlink
    return sum(size(each) for each in path.iterdir())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
