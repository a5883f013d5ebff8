"""Build records of which a test names what it is about."""

from typing import Any

from scripts.build.record import BuildRecord


def build_record(**changes: Any) -> BuildRecord:
    """The record of a build of the sandbox without layers and steps, with these fields changed."""
    fields: dict[str, Any] = {
        "profile": "sandbox",
        "image": "sdkiln-sandbox:latest",
        "digest": "sha256:" + "1" * 64,
        "lock_sha256": "",
        "inputs_sha256": "",
        "replaced": {},
        "git_sha": "",
        "git_dirty": False,
        "utc": "2026-11-01T10:00:00Z",
        "seconds": 1,
        "engine": "own, Docker 29",
        "layers": (),
        "steps": (),
    }
    return BuildRecord(**{**fields, **changes})
