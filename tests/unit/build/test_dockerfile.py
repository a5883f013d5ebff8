"""docker/Dockerfile is read as BuildKit reads it: its stages, and what each takes from where."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.build import dockerfile
from scripts.workspace.paths import DOCKER, ROOT

# The tools that few steps run; the others install packages, and lie in a folder of their own.
FILES = [path.name for path in (DOCKER / "tools").glob("*.py")]

TEXT = """\
# A comment.
FROM base AS one
RUN --mount=type=bind,from=tools,target=/tools \\
    # a comment in the middle
    --mount=type=bind,from=locks,source=py-one,target=/lock \\
    --mount=type=cache,id=x,target=/cache \\
    /tools/install

FROM one AS two
COPY --link --from=three / /
ENV A=1 \\
    B=2
FROM scratch
COPY --link file /
"""


def test_a_stage_names_what_it_begins_from_and_what_it_takes() -> None:
    found = dockerfile.stages(TEXT)
    assert {name: stage.parent for name, stage in found.items()} == {
        "one": "base",
        "two": "one",
        "": "scratch",
    }
    assert [each.takes for each in found["one"].instructions] == [("tools", "locks/py-one")]
    assert [each.takes for each in found["two"].instructions] == [("three",), ()]
    assert [each.takes for each in found[""].instructions] == [()]


def test_an_instruction_is_one_line_and_knows_where_it_begins() -> None:
    (first,) = dockerfile.stages(TEXT)["one"].instructions
    assert first.line == 3
    assert first.text.endswith("--mount=type=cache,id=x,target=/cache /tools/install")
    assert "comment" not in first.text
    assert dockerfile.stages(TEXT)["two"].instructions[1].text == "ENV A=1 B=2"


@pytest.mark.parametrize(
    ("instruction", "copies"),
    [
        ("COPY --link --chmod=755 a b/ /to/", ("a", "b/")),
        ('ADD ["a b", "/c", "/to/"]', ("a b", "/c")),
        ("COPY --from=one a /to", ()),
        ("RUN --mount=type=bind,source=a,target=/a --mount=type=cache,target=/b true", ("a",)),
        ("RUN --mount=target=/a true", (".",)),
        ("RUN --mount=from=one,source=a,target=/a true", ()),
        ("ENV A=1", ()),
    ],
)
def test_an_instruction_names_what_it_reads_of_the_context(
    instruction: str, copies: tuple[str, ...]
) -> None:
    (found,) = dockerfile.stages(f"FROM base AS one\n{instruction}")["one"].instructions
    assert found.copies == copies


@pytest.mark.parametrize(
    ("path", "copied"),
    [
        ("a", {"a/b.py", "a/c/d.py"}),
        ("./a/c/", {"a/c/d.py"}),
        ("/e.py", {"e.py"}),
        ("*.txt", {"f.txt"}),
        (".", {"a/b.py", "a/c/d.py", "e.py", "f.txt"}),
        ("$NAME", {"a/b.py", "a/c/d.py", "e.py", "f.txt"}),
        ("other", set()),
    ],
)
def test_a_copied_path_is_a_file_a_folder_or_a_pattern(path: str, copied: set[str]) -> None:
    made = dockerfile.stages(f"FROM base AS one\nCOPY {path} /to/").values()
    assert dockerfile.copied(["a/b.py", "a/c/d.py", "e.py", "f.txt"], made) == copied


@given(
    st.lists(st.lists(st.sampled_from(["RUN a", "COPY b /", "ENV C=d"]), max_size=4), max_size=5)
)
def test_every_instruction_is_found_wherever_lines_are_broken(made: list[list[str]]) -> None:
    lines = []
    for number, instructions in enumerate(made):
        lines += [f"FROM base AS s{number}", "", "# FROM x AS y"]
        lines += [line.replace(" ", " \\\n  ", 1) for line in instructions]
    found = dockerfile.stages("\n".join(lines))
    assert [[each.text for each in stage.instructions] for stage in found.values()] == made


def test_the_image_copies_from_every_stage_of_packages() -> None:
    found = dockerfile.stages(dockerfile.read())
    taken = {part for each in found["image"].instructions for part in each.takes}
    assert {name for name in found if name.startswith("py-")} < taken


@pytest.mark.parametrize("folder", [DOCKER, DOCKER / "sandbox", ROOT / "benchmarks" / "rebuild"])
def test_no_step_mounts_tools_that_it_does_not_run(folder: Path) -> None:
    for stage in dockerfile.stages((folder / "Dockerfile").read_text()).values():
        for each in stage.instructions:
            mounted = {part for part in each.takes if part.partition("/")[0] == "tools"}
            run = {f"tools/{name}" for name in FILES if f"python3 /{name} " in each.text}
            if " /tools/" in each.text:
                run.add("tools/install")
            assert mounted == run


def test_the_check_sees_every_layer_that_is_made_of_packages() -> None:
    found = dockerfile.stages(dockerfile.read())
    taken = {part for each in found["check"].instructions for part in each.takes}
    copied = {part for each in found["image"].instructions for part in each.takes}
    assert {part.partition("/")[0] for part in taken} == (copied & found.keys()) | {"tools"}
