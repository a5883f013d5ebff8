"""The probe in a Python of this machine: which one, what comes back, and that it ends with us."""

import stat
import sys
from pathlib import Path

import pytest

from scripts.bench import host
from scripts.workspace.errors import BadInput

NOBODY = "http://127.0.0.1:9"
"""Where no web UI answers: the probe's command `ready` needs no torch, and waits there."""


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def waiting(seconds: float) -> list[str]:
    return ["ready", "--url", NOBODY, "--timeout", str(seconds)]


def test_a_python_without_torch_is_refused() -> None:
    """The one that runs the tests has none."""
    with pytest.raises(BadInput, match="has no torch"):
        host.interpreter(sys.executable)


def test_a_python_with_torch_is_taken(tmp_path: Path) -> None:
    python = script(tmp_path / "python3", "echo '[[3, 12], true]'")
    assert host.interpreter(str(python)) == python


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo '[[3, 9], true]'", "is Python 3.9"),
        ("exit 1", "no Python that runs"),
        ("echo hello", "no Python that runs"),
    ],
)
def test_what_cannot_run_the_probe_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said):
        host.interpreter(str(script(tmp_path / "python3", text)))


def test_without_a_name_the_users_python_is_taken_and_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, users = tmp_path / "own", tmp_path / "users"
    for prefix, answer in ((own, "false"), (users, "true")):
        (prefix / "bin").mkdir(parents=True)
        script(prefix / "bin" / "python3", f"echo '[[3, 11], {answer}]'")
    monkeypatch.setattr(sys, "prefix", str(own))
    monkeypatch.setenv("PATH", f"{own / 'bin'}:{users / 'bin'}")
    assert host.interpreter(None) == users / "bin" / "python3"


def test_the_probe_runs_there_and_its_records_come_back() -> None:
    code: dict[str, int] = {}
    records = list(host.run_probe(Path(sys.executable), waiting(0.1), 60, code))
    assert [record["record"] for record in records] == ["error"]
    assert "no image from the web UI" in records[0]["reason"]
    assert code["exit"] == 1


def test_a_probe_that_takes_too_long_is_killed() -> None:
    code: dict[str, int] = {}
    assert list(host.run_probe(Path(sys.executable), waiting(600), 0.5, code)) == []
    assert code["exit"] == -9


def test_a_probe_that_nobody_listens_to_any_more_is_stopped(tmp_path: Path) -> None:
    """Ctrl-C closes the generator."""
    done = tmp_path / "stopped"
    python = script(
        tmp_path / "python3",
        f"trap 'touch {done}; exit' TERM; echo '{{\"record\": \"header\"}}'; "
        "while :; do sleep 0.05; done",
    )
    records = host.run_probe(python, [], 60, {})
    assert next(records) == {"record": "header"}
    records.close()
    assert done.exists()


def test_what_is_said_and_is_no_record_is_a_fault(tmp_path: Path) -> None:
    python = script(tmp_path / "python3", "echo hello")
    with pytest.raises(Exception, match="no record"):
        list(host.run_probe(python, [], 60, {}))
