"""What a person is told when the resolver says no."""

from datetime import date
from pathlib import Path

import pytest

from scripts.lock import resolve
from scripts.lock.uv import cutoff
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import Target

TARGET = Target(environment="webui", stack=None, python="3.11")
CONFLICT = (
    "  x No solution found when resolving dependencies:\n"
    "  `-> Because torchvision==0.16.2 depends on torch==2.1.2 and you require torch==2.0.0, ..."
)


@pytest.fixture
def in_file(tmp_path: Path) -> Path:
    path = tmp_path / "webui.in"
    path.write_text("# comment with torch\nnumpy\ntorch==2.0.0  # old\ntorchvision==0.16.2\n")
    return path


def job(in_file: Path) -> resolve.Job:
    return resolve.Job(TARGET, (in_file,), None, {})


def test_a_conflict_shows_the_reason_and_the_lines_it_concerns(in_file: Path) -> None:
    failure = resolve.explained(job(in_file), CONFLICT)
    assert isinstance(failure, BadInput)
    assert "webui-py3.11 cannot be resolved" in failure.message
    assert "depends on torch==2.1.2" in failure.message
    assert f"{in_file}:3: torch==2.0.0  # old" in failure.message
    assert f"{in_file}:4: torchvision==0.16.2" in failure.message
    assert "numpy" not in failure.message


def test_a_line_that_is_no_requirement_is_shown(in_file: Path) -> None:
    in_file.write_text("numpy\ntorch=2.0\n")
    failure = resolve.explained(job(in_file), "error: Couldn't parse requirement in `webui.in`")
    assert f"{in_file}:2: torch=2.0" in failure.message


def test_a_line_that_is_no_requirement_is_shown_without_those_that_it_resembles(
    in_file: Path,
) -> None:
    in_file.write_text("torch\ntorch=2.0\n")
    said = "error: Couldn't parse requirement in `webui.in`\n  torch=2.0\n       ^"
    assert resolve.concerned(said, [in_file]) == [f"{in_file}:2: torch=2.0"]


def test_a_full_disk_is_no_fault_of_the_inputs(in_file: Path) -> None:
    said = "error: Failed to write to the client cache\n  cause: No space left on device"
    failure = resolve.explained(job(in_file), said)
    assert failure.code == 1
    assert "the disk is full" in failure.message
    assert "UV_CACHE_DIR" in failure.hint


def test_a_registry_out_of_reach_is_no_fault_of_the_inputs(in_file: Path) -> None:
    failure = resolve.explained(job(in_file), "error: error sending request for url (...)")
    assert isinstance(failure, Failure)
    assert failure.code == 1
    assert "could not be reached" in failure.message


@pytest.mark.parametrize(
    "line",
    [
        "-r webui.in",
        "-rwebui.in",
        "  -c webui.in",
        "--requirement webui.in",
        "--requirement=webui.in",
        "--constraint=webui.in  # why",
    ],
)
def test_included_files_are_inputs_too(in_file: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "dev.in").write_text(f"pytest\n{line}\n")
    assert resolve.included([tmp_path / "dev.in"]) == [tmp_path / "dev.in", in_file]


def test_files_that_include_one_another_are_each_read_once(tmp_path: Path) -> None:
    one, other = tmp_path / "one.in", tmp_path / "other.in"
    one.write_text("-r other.in\n")
    other.write_text("-r one.in\n-r other.in\n")
    assert resolve.included([one]) == [one, other]


def test_a_file_that_is_no_text_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "a.in").write_bytes(b"numpy\xff\n")
    with pytest.raises(BadInput, match=r"a\.in is no text"):
        resolve.included([tmp_path / "a.in"])


@pytest.mark.parametrize("name", ["connectorx", "offline-nope", "timed"])
def test_a_package_s_name_does_not_look_like_a_network_fault(in_file: Path, name: str) -> None:
    in_file.write_text(f"{name}==\n")
    failure = resolve.explained(job(in_file), f"error: Couldn't parse requirement `{name}==`")
    assert isinstance(failure, BadInput)
    assert f"{in_file}:1: {name}==" in failure.message


def test_the_cutoff_is_an_instant_in_utc_whatever_the_time_zone_here() -> None:
    assert cutoff(date(2026, 11, 30)).isoformat() == "2026-12-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "line",
    [
        "--index-url http://localhost/simple",
        "--extra-index-url=http://localhost/simple",
        "  -i http://localhost/simple",
        "--find-links ./wheels",
        "--pre",
        "-e .",
    ],
)
def test_a_line_with_another_option_is_bad_input_with_its_place(
    in_file: Path, tmp_path: Path, line: str
) -> None:
    in_file.write_text(f"numpy\n{line}\n")
    (tmp_path / "dev.in").write_text("-r webui.in\n")
    with pytest.raises(BadInput, match=r"webui\.in:2: -.*only -r and -c"):
        resolve.included([tmp_path / "dev.in"])
