"""A device's history as it could have come about: runs with noise, and the locks they are of."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench import schema
from scripts.lock.lockfile import digest_of_all
from tests.support.repositories import commit, git, repository
from tests.support.results import case_of, run_of

ROUNDS = 30
SDP = "attn/x/float32/sdp"
V1 = "attn/x/float32/V1"
OLD, NEW = "2.1.2", "2.8.0"
WEBUI = "webui-cu121-py3.11.txt"


def timed_run(
    day: int = 0,
    times_ms: Mapping[str, float] | None = None,
    torch: str = OLD,
    **changes: Any,
) -> schema.Run:
    """A run of that day: each case 30 samples around its time, with half a percent of noise.

    The run as a whole is off by a percent or so, as two runs of one thing are.
    """
    random = np.random.default_rng(day)
    apart = random.normal(1, 0.005)
    cases = []
    for name, time_ms in (times_ms or {SDP: 10, V1: 30}).items():
        samples = time_ms * 1e6 * apart * random.normal(1, 0.005, ROUNDS)
        cases.append(
            case_of(name, *map(int, samples), suite=name.partition("/")[0], shape={"name": "x"})
        )
    fields: dict[str, Any] = {
        "run_id": f"run-{day:02}",
        "utc": (datetime(2026, 1, 1) + timedelta(days=day)).strftime(schema.UTC),
        "sw": schema.Software(
            torch=f"{torch}+cu121", cuda="12.1", cudnn=None, xformers=None, python="3.11.7"
        ),
        "argv": ("--suite", "attn"),
        "git": schema.Git(sha=None, dirty=False),
    }
    return run_of(tuple(cases), **{**fields, **changes})


def lock_texts(torch: str, **others: str) -> dict[str, str]:
    """Lockfiles in which the web UI's has that torch, and packages by name and version."""
    versions = {"torch": torch, "numpy": "1.26.2", **others}
    lines = [
        f"{name}=={version} \\\n    --hash=sha256:{version.replace('.', '').ljust(64, '0')}\n"
        for name, version in sorted(versions.items())
    ]
    newer = "torch==9.9 \\\n    --hash=sha256:" + "9" * 64 + "\n"
    return {WEBUI: "".join(lines), "webui-cu999-py3.11.txt": newer, "dev.txt": ""}


def digest(texts: Mapping[str, str]) -> str:
    """What a run of these lockfiles has as lock_sha256."""
    return digest_of_all({name: text.encode() for name, text in texts.items()})


class Checkout:
    """A git repository whose lockfiles move."""

    def __init__(self, folder: Path) -> None:
        """Make it, without any lockfile."""
        self.root = repository(folder)
        self.benchmarks = folder / "benchmarks"

    def lock(self, texts: Mapping[str, str], *, committed: bool = True) -> schema.Git:
        """Write lockfiles, and commit them; return what a run says of the checkout."""
        for name, text in texts.items():
            path = self.root / "lockfiles" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        if committed:
            git(self.root, "add", "lockfiles")
            commit(self.root, "lock")
        return schema.Git(sha=git(self.root, "rev-parse", "HEAD"), dirty=not committed)
