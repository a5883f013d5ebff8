"""Arguments shared by sessions, and what a person sees of a failure."""

import argparse
import sys

import pytest

from scripts.workspace import cli
from scripts.workspace.errors import BadInput, CheckFailed


def test_a_command_takes_what_it_knows() -> None:
    assert cli.parse("lock", ["--check"], ["lock"]).check is True


def test_an_argument_that_a_chosen_neighbour_knows_is_passed_over() -> None:
    taken = cli.parse("lock", ["--context", "source=x", "--profile=runpod"], ["lock", "build"])
    assert taken.check is False


def test_an_argument_that_no_chosen_command_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"no chosen command knows --profil=x. Did you mean --profi"):
        cli.parse("lock", ["--profil=x"], ["lock", "build"])


def test_an_argument_of_a_command_that_was_not_chosen_is_refused() -> None:
    with pytest.raises(BadInput, match="no chosen command knows --suite attn"):
        cli.parse("lock", ["--suite", "attn"], ["lock", "build"])


def test_linters_take_no_arguments_and_pass_over_a_neighbours() -> None:
    assert cli.parse("lint", ["unit"], ["lint", "types", "tests"]).verbose is False
    with pytest.raises(BadInput, match="no chosen command knows unit"):
        cli.parse("lint", ["unit"], ["lint", "types"])


def test_an_abbreviation_is_no_argument() -> None:
    with pytest.raises(BadInput, match="no chosen command knows --che"):
        cli.parse("lock", ["--che"], ["lock"])


def test_a_wrong_choice_is_bad_usage() -> None:
    with pytest.raises(BadInput, match="invalid choice: 'unot'"):
        cli.parse("tests", ["unot"], ["tests"])


def exit_code(main: object, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["lock", *arguments])
    monkeypatch.delenv(cli.CHOSEN, raising=False)
    return cli.run("lock", main)  # type: ignore[arg-type]


def fail(_: argparse.Namespace) -> int:
    raise CheckFailed("the locks drifted.", hint="Run ./nox -s lock")


def test_a_failure_is_told_without_a_traceback_and_ends_with_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(fail, monkeypatch, []) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "lock: the locks drifted.\n  Run ./nox -s lock\n"


def test_verbose_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(fail, monkeypatch, ["--verbose"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: argparse.Namespace) -> int:
        raise OSError(28, "No space left on device", "lockfiles/x")

    assert exit_code(full, monkeypatch, []) == 1
    assert capsys.readouterr().err == (
        "lock: No space left on device: lockfiles/x\n"
        "  Free some space where the repository, SDKILN_WORKSPACE and TMPDIR are.\n"
    )


def test_ctrl_c_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    assert exit_code(interrupted, monkeypatch, []) == 130
    assert "Traceback" not in capsys.readouterr().err
