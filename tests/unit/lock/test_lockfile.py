"""A lockfile tells what it follows from, and is refused when it is not as it was written."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scripts.lock.lockfile import File, Lockfile, Pin, changes, pins, read
from scripts.workspace.errors import BadInput
from scripts.workspace.paths import LOCKFILES

BODY = """\
first==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via -r requirements/webui.in
second==2.0.post1 ; python_version < "3.11" \\
    --hash=sha256:cc
"""

names = st.text("abcdefghijklmnopqrstuvwxyz./-_", min_size=1)
values = st.text('abcdef0123456789.-[]{}":, ', min_size=1).map(str.strip).filter(bool)


@given(inputs=st.dictionaries(names, values), body=st.text("abc=\n#: "))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, str], body: str
) -> None:
    lock = Lockfile(tmp_path_factory.mktemp("lock") / "x.txt", inputs, body)
    lock.path.write_text(lock.text())
    assert read(lock.path) == lock


def test_the_same_inputs_give_the_same_bytes_in_any_order() -> None:
    one = Lockfile(Path("x"), {"a": "1", "b": "2"}, BODY)
    other = Lockfile(Path("x"), {"b": "2", "a": "1"}, BODY)
    assert one.text() == other.text()


@given(position=st.integers(min_value=0), letter=st.sampled_from("xyz\n\r"))
def test_a_lockfile_that_was_edited_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, letter: str
) -> None:
    path = tmp_path_factory.mktemp("lock") / "x.txt"
    text = Lockfile(path, {"as_of": "2026-01-01"}, BODY).text()
    where = position % (len(text) + 1)
    path.write_bytes((text[:where] + letter + text[where:]).encode())
    with pytest.raises(BadInput, match="edited or cut off"):
        read(path)


@pytest.mark.parametrize("text", ["", "first==1.0\n", "# digest: sha256:00\n"])
def test_a_file_that_is_no_lockfile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(BadInput, match=r"x\.txt"):
        read(tmp_path / "x.txt")


def test_a_missing_lockfile_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as failure:
        read(tmp_path / "x.txt")
    assert failure.value.hint == "Run ./nox -s lock"


def test_changes_name_each_input() -> None:
    recorded = {"as_of": "2026-01-01", "a.in": "sha256:1", "gone": "x", "same": "y"}
    now = {"as_of": "2026-02-01", "a.in": "sha256:2", "new": "z", "same": "y"}
    assert changes(recorded, now) == [
        "a.in changed",
        "as_of changed from 2026-01-01 to 2026-02-01",
        "gone is no longer an input",
        "new is new",
    ]


def test_pins_are_read_with_versions_hashes_and_markers() -> None:
    first, second = pins(BODY)
    assert (first.name, first.version) == ("first", "1.0")
    assert first.hashes == ("sha256:aa", "sha256:bb")
    assert (second.name, second.version) == ("second", "2.0.post1")
    assert second.text.startswith('second==2.0.post1 ; python_version < "3.11" \\\n')


@pytest.mark.parametrize(
    "line", ["first==1.0", "first>=1.0 \\\n    --hash=sha256:aa", "first \\\n    --hash=sha256:aa"]
)
def test_a_package_without_version_or_hash_is_refused(line: str) -> None:
    with pytest.raises(BadInput, match="not pinned by version and hash"):
        list(pins(line + "\n"))


words = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}", fullmatch=True)
files = st.builds(
    File,
    name=words.map(lambda word: f"{word}-1.0-py3-none-any.whl"),
    size=st.integers(min_value=0),
    uploaded=st.dates(),
)


@given(
    name=words,
    version=versions,
    marker=st.sampled_from(["", " ; python_version < '3.11'", ' ; sys_platform == "win32"']),
    hashes=st.lists(st.from_regex(r"sha256:[0-9a-f]{4}", fullmatch=True), min_size=1),
    via=st.lists(st.one_of(words, words.map(lambda word: f"-r requirements/{word}.in"))),
    file=st.none() | files,
)
def test_an_entry_is_read_back_as_it_was_written(
    name: str, version: str, marker: str, hashes: list[str], via: list[str], file: File | None
) -> None:
    pin = Pin(name, version, f"{name}=={version}{marker}", tuple(hashes), tuple(via), file)
    assert list(pins(pin.entry + pin.entry)) == [pin, pin]


def test_uv_s_ways_of_writing_reasons_are_read() -> None:
    one, several = pins(
        "first==1 \\\n    --hash=sha256:aa\n    # via second\n"
        "second==1 \\\n    --hash=sha256:aa\n    # via\n    #   -r a.in\n    #   third\n"
    )
    assert (one.via, several.via) == (("second",), ("-r a.in", "third"))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(Lockfile(path, {}, BODY).text().encode() + b"\xff")
    with pytest.raises(BadInput, match="edited or cut off"):
        read(path)


@pytest.mark.parametrize("line", ["requests==1.0", "--index-url=http://localhost", "# hand made"])
def test_a_line_added_to_the_header_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.txt"
    title, rest = Lockfile(path, {"as_of": "2026-01-01"}, BODY).text().split("\n", 1)
    path.write_text(f"{title}\n{line}\n{rest}")
    with pytest.raises(BadInput, match="edited or cut off"):
        read(path)


LOCK = read(LOCKFILES / "worker-py3.11.txt").body[:6000]


@given(st.integers(0, len(LOCK)))
@example(LOCK.index("# file ") + len("# file aenum-3"))
def test_a_lock_cut_off_anywhere_is_read_or_refused_but_never_a_fault(length: int) -> None:
    with suppress(BadInput):
        list(pins(LOCK[:length]))
