"""Clones of this checkout, for tests that change inputs or begin as a newcomer does."""

import shutil
import subprocess
from pathlib import Path

from scripts.workspace.paths import ROOT


def fresh_clone(folder: Path) -> Path:
    """Clone this checkout to `folder`; return it.

    What is not committed yet comes along: the tests judge the working tree.
    """
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    return folder
