"""What a command does not need is not imported: a build after an edit is waited for."""

import subprocess
import sys

import pytest

from scripts.workspace.paths import ROOT


@pytest.mark.parametrize("module", ["httpx", "httpx2", "tomlkit"])
def test_a_build_begins_without_what_only_downloads_and_resolvers_need(module: str) -> None:
    code = f"import sys, scripts.build.__main__; print({module!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
