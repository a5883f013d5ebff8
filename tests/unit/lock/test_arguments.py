"""What the arguments of `lock` ask for, and what `--check` says of lockfiles."""

import platform
from pathlib import Path

import pytest

from scripts.lock import __main__ as command
from scripts.lock import verify
from scripts.lock.lookup import ONLY_MISSING, LookUp
from scripts.lock.options import parser
from scripts.lock.plan import Plan
from scripts.workspace.errors import CheckFailed, Inconclusive
from scripts.workspace.model import load
from scripts.workspace.paths import LOCKFILES


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ONLY_MISSING),
        (["--upgrade"], LookUp(None)),
        (["--upgrade", "runpod"], ONLY_MISSING),
        (["--as-of", "today"], ONLY_MISSING),
        (["--upgrade", "--require-fresh"], LookUp(None, required=True)),
        (["--upgrade", "runpod", "--require-fresh"], ONLY_MISSING),
        (
            ["--upgrade", "runpod", "debian", "--require-fresh"],
            LookUp(frozenset({"debian"}), required=True),
        ),
        # By itself: all of them, but no model is taken for another.
        (["--require-fresh"], LookUp(None, required=True, replace=False)),
        (["--require-fresh", "--as-of", "today"], LookUp(None, required=True, replace=False)),
    ],
)
def test_only_what_is_asked_for_is_looked_up(arguments: list[str], expected: LookUp) -> None:
    step = command.asked_for(parser().parse_args(arguments), load())
    assert step.look_up == expected


LATE, STRAY = LOCKFILES / "tools.txt", LOCKFILES / "old.txt"


@pytest.mark.parametrize(
    ("late", "said"),
    [
        ([STRAY], "All 2 lockfiles follow from the inputs, but nothing asks for 1 file more."),
        ([LATE], "1 of 2 lockfiles do not follow from the inputs."),
        (
            [LATE, STRAY],
            "1 of 2 lockfiles do not follow from the inputs, and nothing asks for 1 file more.",
        ),
    ],
)
def test_a_lockfile_that_nobody_asks_for_is_not_counted_among_those_asked_for(
    late: list[Path], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = {path: ["a reason"] for path in late}
    found = Plan([], {LATE: {}, LOCKFILES / "images.toml": {}}, reasons, [STRAY] * (STRAY in late))
    monkeypatch.setattr(command, "plan", lambda workspace: found)
    with pytest.raises(CheckFailed) as failure:
        command.check(load())
    assert failure.value.message == said


def test_what_is_locked_for_another_platform_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(verify, "interpreter", lambda version: "python")
    with pytest.raises(Inconclusive):
        command.verified(["worker-py3.11"], load())
    said = capsys.readouterr().err
    assert "worker-py3.11 is not verified: it is for Linux on x86_64, " in said
