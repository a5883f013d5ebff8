"""git, asked without ever asking back."""

import os
import subprocess
from pathlib import Path

from scripts.workspace.errors import Failure


def git(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run git in `folder`; the caller judges the exit code. Raises Failure when there is no git."""
    # A private or deleted repository must answer with an error, not ask for a password.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise Failure("git is not installed.", hint="apt-get install git") from None
