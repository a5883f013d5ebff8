"""The real past of a small environment, as the package registry tells it."""

from datetime import date
from pathlib import Path

import pytest

from scripts.bench.replay import history
from scripts.bench.replay.history import Locked, Refused, replay
from scripts.bench.replay.pulls import Key, Layering, each_alone, each_bump
from scripts.lock.resolve import compile_all, job
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Environment, Target, Workspace, load

TARGET = Target(environment="small", stack=None, python="3.10")
DAYS = [date(2024, 10, 31), date(2024, 11, 30), date(2024, 12, 31)]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(history, "CACHE", tmp_path / "cache")
    requirements = tmp_path / "small.in"
    # certifi 2024.12.14 was uploaded on that day, the release before it in August.
    requirements.write_text("certifi>=2024.12\nidna==3.10\n")
    small = Environment(requirements=str(requirements), pythons=("3.10",), imports=("idna",))
    return load().model_copy(update={"environments": {"small": small}})


def test_three_months_are_what_could_be_locked_then(workspace: Workspace) -> None:
    seen: list[tuple[Locked | Refused, bool]] = []
    found = replay(workspace, [TARGET], DAYS, [], lambda month, known: seen.append((month, known)))
    assert list(found.days) == DAYS
    certifi, idna = Key("small", "certifi"), Key("small", "idna")
    versions = [snapshot[certifi].version for snapshot in found.snapshots]
    assert versions == ["2024.8.30", "2024.8.30", "2024.12.14"]
    assert {snapshot[idna].version for snapshot in found.snapshots} == {"3.10"}
    assert [lock.lifted for lock in found.locks] == [("certifi>=2024.12",)] * 2 + [()]
    new = found.snapshots[-1][certifi]
    assert new.name == "certifi-2024.12.14-py3-none-any.whl"
    assert each_bump(found.snapshots, Layering("", each_alone)) == [0, new.size]
    assert [known for _, known in seen] == [False] * 3

    again = replay(workspace, [TARGET], DAYS, [], lambda month, known: seen.append((month, known)))
    assert again == found
    assert [known for _, known in seen[3:]] == [True] * 3


def test_a_package_whose_pin_is_left_out_moves_again(workspace: Workspace, tmp_path: Path) -> None:
    # requests asks for certifi, too, and takes any of these.
    (tmp_path / "small.in").write_text("certifi==2024.7.4\nrequests==2.32.3\n")
    certifi = Key("small", "certifi")
    held, moved = (
        [
            snapshot[certifi].version
            for snapshot in replay(
                workspace, [TARGET], DAYS, without, lambda month, known: None
            ).snapshots
        ]
        for without in ([], ["certifi"])
    )
    assert held == ["2024.7.4"] * 3
    assert moved == ["2024.8.30", "2024.8.30", "2024.12.14"]


def test_a_day_before_the_first_release_is_left_out(workspace: Workspace) -> None:
    days = [date(2005, 1, 31), DAYS[0]]
    found = replay(workspace, [TARGET], days, [], lambda month, known: None)
    assert list(found.days) == DAYS[:1]
    [refused] = found.refused
    assert refused.day == days[0]
    assert "idna==3.10" in refused.reason


def test_a_pinned_release_that_was_yanked_since_is_what_was_locked_then(
    workspace: Workspace, tmp_path: Path
) -> None:
    # requests 2.32.0 was yanked days after its release, in May 2024.
    (tmp_path / "small.in").write_text("requests==2.32.0\n")
    found = replay(workspace, [TARGET], DAYS[:1], [], lambda month, known: None)
    assert found.snapshots[0][Key("small", "requests")].version == "2.32.0"
    then = workspace.at(DAYS[0])
    with pytest.raises(BadInput, match=r"requests==2\.32\.0 was yanked"):
        compile_all([job(then, TARGET)], then)
