"""The Dockerfile that makes the state before a step that failed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.build.shell import cut
from scripts.workspace.paths import DOCKER

TEXT = """\
FROM base AS one
RUN first

FROM base AS two
RUN --mount=type=bind,from=tools,target=/tools \\
    --mount=type=bind,from=locks,source=py-two,target=/lock \\
    --mount=type=cache,id=uv,target=/var/cache/uv \\
    --mount=type=secret,id=ca --mount=type=secret,id=uv-env \\
    install /opt \\
    && sed 's#a  b#c#'
COPY x /
"""


def test_the_file_ends_before_the_step_with_its_folders_copied() -> None:
    assert cut(TEXT, 5).text == (
        "FROM base AS one\nRUN first\n\nFROM base AS two\n"
        "COPY --from=tools / /tools\nCOPY --from=locks py-two /lock\n"
    )


def test_the_command_is_what_a_person_can_paste() -> None:
    assert cut(TEXT, 5).command == "install /opt \\\n    && sed 's#a  b#c#'"
    assert cut(TEXT, 2).command == "first"


def test_the_secrets_of_the_step_are_named() -> None:
    assert cut(TEXT, 5).secrets == ("ca", "uv-env")
    assert cut(TEXT, 2).secrets == ()


def test_a_mount_without_a_type_is_a_bind_of_the_context() -> None:
    text = "FROM base AS one\nRUN --mount=source=bin,target=/bin x\n"
    assert cut(text, 2).text.endswith("\nCOPY bin /bin\n")


RUNS = [
    number
    for number, line in enumerate((DOCKER / "Dockerfile").read_text().splitlines(), start=1)
    if line.startswith("RUN ")
]


@pytest.mark.parametrize("line", RUNS)
def test_every_step_of_the_dockerfile_can_be_cut_away(line: int) -> None:
    text = (DOCKER / "Dockerfile").read_text()
    made = cut(text, line)
    assert "--mount" not in made.command
    endings = ("/tools/seal /layer", "/var", "/opt/webui", "/opt/worker", "/checked")
    assert made.command.endswith(endings)
    assert re.search(r"^COPY --from=tools (install /tools|check-layers.py /\S+)$", made.text, re.M)
    assert len(re.findall(r"^FROM ", made.text, re.MULTILINE)) == RUNS.index(line) + 1


@given(line=st.integers(1, 11))
def test_what_stands_before_the_step_is_kept_as_it_is(line: int) -> None:
    assert cut(TEXT, line).text.startswith("".join(TEXT.splitlines(keepends=True)[: line - 1]))
