"""Pins move to a day that is over, alone or together, and a person sees what moved."""

from datetime import date, timedelta
from io import StringIO
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.lock import forward
from scripts.lock.lockfile import Lockfile
from scripts.lock.lookup import ONLY_MISSING, LookUp
from scripts.lock.moves import Move, diff, moves, print_table, short, table
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Lock, Workspace, load, parse
from scripts.workspace.paths import LOCKFILES, ROOT

TEXT = (ROOT / "workspace.toml").read_text()
PACKAGES, OTHERS = {"torch", "runpod"}, {"python", "webui", "debian"}
NEXT = load().lock.as_of + timedelta(days=1)
APP = LOCKFILES / "app.txt"


def test_today_is_the_last_day_that_is_over() -> None:
    assert forward.day("today") == forward.last_day()


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "9999-01-01", "20260101", "2026-W01-1"])
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


def test_everything_moves_to_a_day_that_has_settled_and_no_package_goes_back() -> None:
    last = forward.last_day()
    settled = last - timedelta(days=7)
    step = forward.onward(at(date(2024, 1, 1), torch=last, numpy=settled))
    assert step == forward.Step(at(settled, torch=last), LookUp(None))
    assert forward.onward(at(last)).workspace == at(last)


def test_a_named_package_moves_alone() -> None:
    step = forward.step(load(), NEXT, ["RunPod"], PACKAGES, OTHERS)
    assert step.workspace.lock.as_of == load().lock.as_of
    assert step.workspace.lock.ahead == {"runpod": NEXT}
    assert step.look_up == ONLY_MISSING


def at(as_of: date, **ahead: date) -> Workspace:
    lock = load().lock.model_copy(update={"as_of": as_of, "ahead": ahead})
    return load().model_copy(update={"lock": lock})


def test_on_the_last_day_that_is_over_a_named_package_has_nowhere_to_go() -> None:
    last = forward.last_day()
    assert forward.step(at(last), last, ["runpod"], PACKAGES, OTHERS).workspace == at(last)


def test_a_package_that_is_ahead_comes_back_to_the_day_of_the_others() -> None:
    day = date(2024, 1, 1)
    step = forward.step(at(day, runpod=NEXT), day, ["runpod"], PACKAGES, OTHERS)
    assert step.workspace.lock.ahead == {}


def test_only_a_step_that_takes_nothing_back_is_one_that_lets_packages_be_newer() -> None:
    one, two, three = (date(2024, 1, day) for day in (1, 2, 3))
    old = at(one, torch=two).lock
    for new, expected in (
        (at(one, torch=two, numpy=two), {"numpy": two}),
        (at(one, torch=three), {"torch": three}),
        (at(one, numpy=two), {}),
        (at(two, torch=three), {}),
        (at(one, torch=two), {}),
    ):
        assert forward.later(old, new.lock) == expected


def test_packages_that_stay_keep_the_day_of_before_and_the_others_move() -> None:
    one, two, three = (date(2024, 1, day) for day in (1, 2, 3))
    looked_up = LookUp(frozenset({"python"}))
    step = forward.Step(at(one, torch=three, numpy=three, runpod=three), looked_up)
    found = forward.staying(at(one, torch=two), step, {"torch", "numpy"})
    assert found == forward.Step(at(one, torch=two, runpod=three), looked_up)


def test_a_move_names_its_package_whatever_its_marker() -> None:
    assert [move.package for move in MOVED] == ["clay-of-the-river", "python.digest"]


@pytest.mark.parametrize("day", [date(2024, 1, 1), date(2023, 12, 31)])
def test_a_named_package_that_would_stay_or_go_back_is_refused(day: date) -> None:
    with pytest.raises(BadInput, match=r"runpod is already at as_of = 2024-01-01") as caught:
        forward.step(at(date(2024, 1, 1)), day, ["runpod"], PACKAGES, OTHERS)
    assert "without a name" in caught.value.hint


def test_a_named_image_or_source_is_looked_up_and_no_package_moves() -> None:
    step = forward.step(load(), NEXT, ["python", "debian"], PACKAGES, OTHERS)
    assert step.workspace.lock == load().lock
    assert step.look_up == LookUp(frozenset({"python", "debian"}))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"named trch\. The nearest: torch, "):
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


HEADER = "[lock]\nas_of = 2024-01-01  # then\n"
DAY, OTHER = date(2024, 2, 2), date(2024, 3, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HEADER + "ahead = {runpod=2024-02-02}  # why\n\n[a]\n",
            HEADER + "ahead = { clay = 2024-02-02, runpod = 2024-03-03 }  # why\n\n[a]\n",
        ),
        (
            HEADER + "\n[lock.ahead]\n# why\nrunpod = 2024-02-02  # c\n\n[a]\n",
            HEADER + "\n[lock.ahead]\n# why\nrunpod = 2024-03-03  # c\nclay = 2024-02-02\n\n[a]\n",
        ),
        (
            HEADER + "\n[a]\n",
            HEADER + "ahead = { clay = 2024-02-02, runpod = 2024-03-03 }\n\n[a]\n",
        ),
        (
            "lock = { as_of = 2024-01-01, ahead = {} }\n[a]\n",
            "lock = { as_of = 2024-01-01, "
            "ahead = { clay = 2024-02-02, runpod = 2024-03-03 } }\n[a]\n",
        ),
    ],
)
def test_packages_ahead_are_edited_where_and_as_they_are_written(text: str, expected: str) -> None:
    assert forward.rewritten(text, at(date(2024, 1, 1), runpod=OTHER, clay=DAY).lock) == expected


@pytest.mark.parametrize(
    "ahead", ["ahead = {runpod=2024-02-02}\n", "[lock.ahead]\nrunpod   = 2024-02-02\n"]
)
def test_days_that_do_not_change_are_left_as_people_wrote_them(ahead: str) -> None:
    assert forward.rewritten(HEADER + ahead, at(date(2024, 1, 1), runpod=DAY).lock) == (
        HEADER + ahead
    )
    moved = forward.rewritten(HEADER + ahead, at(OTHER, runpod=DAY).lock)
    assert moved == HEADER.replace("2024-01-01", "2024-03-03") + ahead


def test_a_lock_table_that_cannot_be_edited_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot be edited") as caught:
        forward.rewritten(HEADER + "ahead.runpod = 2024-02-02\n", at(date(2024, 1, 1)).lock)
    assert "ahead = {" in caught.value.hint


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


MARKER = "python_full_version >= '3.11' and platform_machine == 'x86_64'"
MOVED = [
    Move(f"clay-of-the-river ({MARKER})", "1.26.2", "2.3.4[x]", ("bench", "w-a-1", "w-b-1")),
    Move("python.digest", "sha256:" + "a" * 12 + "...", "sha256:" + "b" * 12 + "...", ("images",)),
]
WORDS = [word for move in MOVED for word in (move.name.split(" ")[0], move.old, move.new)]


def printed(width: int, terminal: bool) -> list[str]:
    console = Console(file=StringIO(), width=width, force_terminal=terminal, color_system=None)
    print_table(console, MOVED)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 60, 80])
def test_in_a_pipe_each_move_is_one_whole_line(width: int) -> None:
    _, clay, digest = printed(width, terminal=False)
    assert clay.split(maxsplit=4) == [
        *WORDS[:2],
        "->",
        WORDS[2],
        f"3: bench, w-{{a,b}}-1 where {MARKER}",
    ]
    assert digest.split() == [*WORDS[3:5], "->", WORDS[5], "1:", "images"]


@pytest.mark.parametrize("width", [20, 60, 80])
def test_on_a_terminal_only_the_lockfiles_fold_and_nothing_is_lost(width: int) -> None:
    lines = printed(width, terminal=True)
    assert all(any(word in line.split() for line in lines) for word in WORDS)
    folded = "".join(line[line.rindex("  ") + 2 :] for line in lines if "  " in line)
    assert MARKER.replace(" ", "") in folded.replace(" ", "")


def test_the_bare_table_folds_and_loses_nothing() -> None:
    console = Console(file=StringIO(), width=60)
    console.print(table(MOVED))
    assert isinstance(console.file, StringIO)
    first, second = "3: bench, w-{a,b}-1 where " + MARKER, "1: images"
    whole = ["whatoldnewlockfiles", *WORDS, "->", first, "->", second]
    shown = "".join(console.file.getvalue().split())
    assert sorted(shown) == sorted("".join("".join(whole).split()))


def expanded(text: str) -> set[str]:
    """Return what a shell makes of braces: each `-` separated part is a word or a list."""
    if "{" not in text:
        return {text}
    start = text.index("{")
    depth, parts, at = 0, [""], start
    while True:
        letter = text[at]
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            break
        if letter == "," and depth == 1:
            parts.append("")
        elif at > start:
            parts[-1] += letter
        at += 1
    heads = {each for part in parts for each in expanded(part)}
    return {text[:start] + "".join(pair) for pair in product(heads, expanded(text[at + 1 :]))}


@given(st.sets(st.from_regex(r"[ab](-[cd]){0,3}", fullmatch=True), min_size=1))
def test_a_short_list_of_targets_names_every_one_and_no_other(names: set[str]) -> None:
    assert {name for text in short(names) for name in expanded(text)} == names


def test_a_matrix_of_targets_is_one_word() -> None:
    names = [f"webui-{stack}-{python}" for stack in ("cu1", "cu2") for python in ("py1", "py2")]
    assert short([*names, "bench"]) == ["bench", "webui-{cu1,cu2}-{py1,py2}"]


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
