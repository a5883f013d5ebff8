"""git, asked without ever asking back."""

import os
import subprocess
from pathlib import Path

from scripts.workspace import processes
from scripts.workspace.errors import Failure

# What git sets for its hooks would outweigh the folder.
OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
# A transfer of which not a byte comes for so many seconds is dead.
STALLED_S = 20


def git(
    *arguments: str, folder: Path, timeout_s: float | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run git in `folder`; the caller judges the exit code.

    Raises Failure when there is no git, and subprocess.TimeoutExpired after `timeout_s`.
    """
    environment = {
        "GIT_HTTP_LOW_SPEED_LIMIT": "1",
        "GIT_HTTP_LOW_SPEED_TIME": str(STALLED_S),
        **os.environ,
        # A private or deleted repository must answer with an error, not ask for a password.
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }
    environment = {name: value for name, value in environment.items() if name not in OF_A_HOOK}
    try:
        return processes.run(
            ["git", *arguments], folder=folder, environment=environment, timeout_s=timeout_s
        )
    except FileNotFoundError:
        raise Failure("git is not installed.", hint="apt-get install git") from None
