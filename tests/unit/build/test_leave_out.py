"""The list of what stays out of the image: read and checked here, applied in the build."""

import runpy
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.build import leave_out
from scripts.build.contexts import groups, stages
from scripts.lock.layers import SOURCE
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load
from scripts.workspace.paths import DOCKER

PROGRAM = DOCKER / "tools" / "install" / "leave-out.py"
pattern: Callable[[str, Sequence[str]], str | None] = runpy.run_path(str(PROGRAM))["pattern"]

SHORT = st.sampled_from(["a", "b", "ab", "tests", "s3"])
PATHS = st.lists(SHORT, min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(st.one_of(SHORT, st.just("*")), min_size=1, max_size=3).map("/".join)
LINES = st.lists(st.tuples(st.sampled_from(["", "!"]), PATTERNS).map("".join), max_size=4)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "leave-out.toml"
    file.write_text(text)
    return file


def tree(folder: Path, files: Iterable[str]) -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("four")
    return folder


def listing(folder: Path, lines: Sequence[str]) -> Path:
    file = folder.with_name("list")
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def apply(lines: Sequence[str], folder: Path) -> str:
    command = [sys.executable, str(PROGRAM), str(listing(folder, lines)), str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def left(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def test_the_committed_list_is_one_for_layers_that_each_profile_has() -> None:
    workspace = load()
    for profile in workspace.profiles.values():
        layers = {leave_out.SYSTEM, *groups(workspace, profile)}
        lists = leave_out.lists(layers, known={SOURCE, *stages()})
        assert lists.keys() == layers
        assert "torch/include\n" in lists["py-torch"]


def test_no_path_is_listed_twice() -> None:
    for of_layer in leave_out.rules().values():
        paths = [path for rule in of_layer for path in rule.paths]
        assert len(paths) == len(set(paths))


def test_what_is_kept_comes_first_because_the_first_match_decides(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '[[one]]\nreason = "a"\npaths = ["a"]\n[[one]]\nreason = "b"\npaths = ["b"]\nkeep = ["c"]',
    )
    lists = leave_out.lists(["one", "two"], ["one", "two"], file)
    assert lists == {"one": "!c\na\nb\n", "two": ""}


def test_rules_of_a_layer_of_another_profile_are_passed_over(tmp_path: Path) -> None:
    file = written(tmp_path, '[[py-source]]\nreason = "a"\npaths = ["a"]')
    assert leave_out.lists(["py-torch"], ["py-torch", "py-source"], file) == {"py-torch": ""}


def test_rules_of_a_layer_that_is_not_there_are_refused_with_the_nearest(tmp_path: Path) -> None:
    file = written(tmp_path, '[[py-troch]]\nreason = "a"\npaths = ["a"]')
    with pytest.raises(BadInput, match=r"no layer py-troch\. Did you mean py-torch\?"):
        leave_out.lists(["py-torch"], ["py-torch"], file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[a]]\npaths = ["x"]', "reason"),
        ('[[a]]\nreason = ""\npaths = ["x"]', "reason"),
        ('[[a]]\nreason = "r"\npaths = []', "paths"),
        ('[[a]]\nreason = "r"\npaths = ["/usr/lib"]', "paths"),
        ('[[a]]\nreason = "r"\npaths = ["!x"]', "paths"),
        ('[[a]]\nreason = "r"\npaths = ["x\\ny"]', "paths"),
        ('[[a]]\nreason = "r"\npaths = ["x"]\nkept = ["y"]', "kept"),
        ('[a]\nreason = "r"\npaths = ["x"]', "a"),
        ("[[a", "Expected"),
    ],
)
def test_a_list_that_is_none_is_refused_by_file_and_key(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(BadInput, match=rf"leave-out\.toml: .*{said}"):
        leave_out.rules(written(tmp_path, text))


def test_a_folder_goes_with_all_in_it_and_the_log_says_how_much(tmp_path: Path) -> None:
    folder = tree(tmp_path / "site", ["a/tests/x/one.py", "a/tests/two.py", "a/b.py", "tests.py"])
    assert apply(["*/tests", "none"], folder).splitlines() == [
        "left out     0.00 MB  */tests",
        "left out     0.00 MB  none",
    ]
    assert left(folder) == {"a/b.py", "tests.py"}
    assert not (folder / "a" / "tests").exists()


def test_a_file_of_several_names_is_counted_once(tmp_path: Path) -> None:
    folder = tree(tmp_path / "usr", ["dri/one.so"])
    (folder / "dri" / "one.so").write_bytes(bytes(2_000_000))
    (folder / "dri" / "two.so").hardlink_to(folder / "dri" / "one.so")
    assert apply(["dri"], folder) == "left out     2.00 MB  dri\n"


def test_what_a_line_keeps_stays_with_all_in_it(tmp_path: Path) -> None:
    folder = tree(
        tmp_path / "site", ["data/ec2/1.gz", "data/s3/1.gz", "data/s3/2/x", "data/e.json"]
    )
    apply(["!data/s3", "!data/*.json", "data/*"], folder)
    assert left(folder) == {"data/s3/1.gz", "data/s3/2/x", "data/e.json"}


def test_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    folder = tree(tmp_path / "site", ["real/file"])
    (folder / "tests").symlink_to("real")
    (folder / "broken").symlink_to("nowhere")
    apply(["tests", "broken"], folder)
    assert left(folder) == {"real/file"}


@given(st.sets(PATHS, min_size=1, max_size=12), LINES)
def test_what_goes_is_what_the_lines_match_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str], lines: list[str]
) -> None:
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    files = paths - folders
    folder = tree(tmp_path_factory.mktemp("any") / "site", files)
    runpy.run_path(str(PROGRAM))["main"](listing(folder, lines), folder)
    assert left(folder) == {path for path in files if pattern(path, lines) is None}
