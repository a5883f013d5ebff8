"""What the arguments of `lock` ask for, and what `--check` says of lockfiles."""

import platform

import pytest

from scripts.lock import __main__ as command
from scripts.lock import verify
from scripts.lock.lookup import ONLY_MISSING, LookUp
from scripts.lock.options import parser
from scripts.workspace.errors import Inconclusive
from scripts.workspace.model import load


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


def test_what_is_locked_for_another_platform_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(verify, "interpreter", lambda version: "python")
    with pytest.raises(Inconclusive):
        command.verified(["worker-py3.11"], load())
    said = capsys.readouterr().err
    assert "worker-py3.11 is not verified: it is for Linux on x86_64, " in said
