"""Pins move to a day that is over, alone or together, and a person sees what moved."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lock import forward
from scripts.lock.lockfile import Lockfile
from scripts.lock.lookup import ONLY_MISSING, LookUp
from scripts.lock.moves import Move, diff, moves
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Lock, load, parse
from scripts.workspace.paths import LOCKFILES, ROOT

TEXT = (ROOT / "workspace.toml").read_text()
PACKAGES, OTHERS = {"torch", "runpod"}, {"python", "webui", "debian"}
NEXT = load().lock.as_of + timedelta(days=1)
APP = LOCKFILES / "app.txt"


def test_today_is_the_last_day_that_is_over() -> None:
    assert forward.day("today") == forward.last_day()


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "9999-01-01"])
def test_a_day_that_is_none_or_not_over_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=text):
        forward.day(text)


def test_without_names_everything_moves_and_nothing_is_ahead_any_more() -> None:
    before = load().model_copy(
        update={"lock": Lock(as_of=NEXT, platform=load().lock.platform, ahead={"torch": NEXT})}
    )
    step = forward.step(before, NEXT, (), PACKAGES, OTHERS)
    assert step.workspace.lock.as_of == NEXT
    assert step.workspace.lock.ahead == {}
    assert step.look_up == LookUp(None)


def test_a_named_package_moves_alone() -> None:
    step = forward.step(load(), NEXT, ["RunPod"], PACKAGES, OTHERS)
    assert step.workspace.lock.as_of == load().lock.as_of
    assert step.workspace.lock.ahead == {"runpod": NEXT}
    assert step.look_up == ONLY_MISSING


def test_a_package_is_not_ahead_when_the_others_are_as_far() -> None:
    step = forward.step(load(), load().lock.as_of, ["runpod"], PACKAGES, OTHERS)
    assert step.workspace.lock.ahead == {}


def test_a_named_image_or_source_is_looked_up_and_no_package_moves() -> None:
    step = forward.step(load(), NEXT, ["python", "debian"], PACKAGES, OTHERS)
    assert step.workspace.lock == load().lock
    assert step.look_up == LookUp(frozenset({"python", "debian"}))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"named trch\. Did you mean torch\?"):
        forward.step(load(), NEXT, ["trch"], PACKAGES, OTHERS)


days = st.dates(date(2020, 1, 1), date(2030, 1, 1))


@given(as_of=days, ahead=st.dictionaries(st.sampled_from(["torch", "runpod", "a-b"]), days))
def test_rewriting_workspace_toml_changes_the_days_and_nothing_else(
    as_of: date, ahead: dict[str, date]
) -> None:
    lock = load().lock.model_copy(update={"as_of": as_of, "ahead": ahead})
    text = forward.rewritten(TEXT, lock)
    assert parse(text, "x") == load().model_copy(update={"lock": lock})
    kept = [line for line in TEXT.splitlines() if not line.startswith(("as_of", "ahead"))]
    assert [line for line in text.splitlines() if not line.startswith(("as_of", "ahead"))] == kept


def test_what_does_not_move_is_written_back_to_the_byte() -> None:
    assert forward.rewritten(TEXT, load().lock) == TEXT


def lock(*lines: str) -> str:
    return Lockfile(APP, {}, "".join(f"{line} \\\n    --hash=sha256:aa\n" for line in lines)).text()


def test_a_move_is_named_once_for_all_lockfiles() -> None:
    other = LOCKFILES / "other.txt"
    old = {APP: lock("clay==1", "kiln==1"), other: lock("clay==1")}
    new = {APP: lock("clay==2", "kiln==1"), other: lock("clay==2", "glaze==1")}
    assert moves(old, new) == [
        Move("clay", "1", "2", ("app", "other")),
        Move("glaze", "-", "1", ("other",)),
    ]


def test_other_files_of_the_same_version_are_a_move() -> None:
    (move,) = moves({APP: lock("clay==1")}, {APP: lock("clay==1").replace(":aa", ":bb")})
    assert (move.old, move.new) == ("1", "1, other files")


def test_a_lockfile_that_goes_or_is_damaged_counts_as_empty() -> None:
    gone = moves({APP: lock("clay==1")}, {})
    assert gone == [Move("clay", "1", "-", ("app",))]
    assert moves({APP: "clay>=1\n"}, {APP: lock("clay==1")}) == [Move("clay", "-", "1", ("app",))]


def test_a_pin_in_a_table_is_named_by_its_place() -> None:
    path = LOCKFILES / "images.toml"
    old = {path: '[python]\ndigest = "sha256:1"\n'}
    new = {path: '[python]\ndigest = "sha256:2"\n[[tiny.files]]\npath = "a"\nsize = 1\n'}
    assert moves(old, new) == [
        Move("python.digest", "sha256:1", "sha256:2", ("images",)),
        Move("tiny.files.a.path", "-", "a", ("images",)),
        Move("tiny.files.a.size", "-", "1", ("images",)),
    ]


texts = st.dictionaries(st.sampled_from([APP, LOCKFILES / "b.txt"]), st.just(lock("clay==1")))


@given(old=texts, new=texts)
def test_the_diff_names_what_comes_and_goes_by_its_path(
    old: dict[Path, str], new: dict[Path, str]
) -> None:
    text = diff(old, new)
    for path in new.keys() - old.keys():
        assert f"--- /dev/null\n+++ b/lockfiles/{path.name}\n" in text
    for path in old.keys() - new.keys():
        assert f"--- a/lockfiles/{path.name}\n+++ /dev/null\n" in text
    if old == new:
        assert text == ""
