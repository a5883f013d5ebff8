"""sdists.toml against the sdists themselves, each built and asked what it needs."""

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uv import find_uv_bin

from scripts.lock import sdists

ROWS = sdists.described()


@pytest.mark.parametrize("name", sorted(ROWS))
def test_an_sdist_needs_what_its_row_says(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    asked, folder = tmp_path / "asked.in", tmp_path / "installed"
    asked.write_text(f"{name}=={row.version} --hash=sha256:{row.sha256}\n")
    subprocess.run(
        [
            find_uv_bin(),
            *("pip", "install", "--quiet", "--require-hashes", "--no-deps", f"--target={folder}"),
            *(f"--no-binary={name}", f"--python={sys.executable}", "-r", str(asked)),
        ],
        check=True,
    )
    (found,) = distributions(path=[str(folder)])
    assert {Requirement(text) for text in found.requires or ()} == {
        Requirement(text) for text in row.requires
    }
