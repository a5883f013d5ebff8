"""launch.json and the arguments: what is wrong is said before anything is started."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from arguments import check_arguments
from launch import Launch, LaunchError, load_launch, make_folders

LAUNCH: dict[str, Any] = {
    "python": "/opt/webui/bin/python",
    "cwd": "/srv/webui",
    "argv": ["webui.py", "--api"],
    "env": {},
    "preload": ["libtcmalloc_minimal.so.4"],
    "url": "http://127.0.0.1:3000",
    "ready_timeout_s": 600,
    "stop_timeout_s": 10,
    "warmup": {"prompt": "", "steps": 1},
}


def load(path: Path, content: str) -> Launch:
    """Return what load_launch makes of a file with this content."""
    path.write_text(content)
    return load_launch({"SDKILN_LAUNCH": str(path)})


def test_a_launch_file_is_read(tmp_path: Path) -> None:
    """The file of the contract, and the default that it leaves out."""
    launch = load(tmp_path / "launch.json", json.dumps(LAUNCH))
    assert launch.argv == ("webui.py", "--api")
    assert launch.job_timeout_s == 600


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"argv": []}, "argv: "),
        ({"argv": "webui.py"}, "argv: "),
        ({"url": "http://127.0.0.1:3000/"}, "url: "),
        ({"ready_timeout_s": 0}, "ready_timeout_s: "),
        ({"ready_timeout_s": "soon"}, "ready_timeout_s: "),
        ({"warmup": None}, "warmup: "),
        ({"prelaod": []}, "prelaod: Extra inputs"),
    ],
)
def test_a_fault_is_named_with_file_and_field(
    tmp_path: Path, change: dict[str, Any], fault: str
) -> None:
    """The one who reads it did not write the file, and has only the log."""
    with pytest.raises(LaunchError, match=rf"launch.json is no valid launch file \({fault}"):
        load(tmp_path / "launch.json", json.dumps(LAUNCH | change))


@given(name=st.sampled_from(sorted(LAUNCH)))
def test_every_field_is_required(name: str) -> None:
    """A default would hide that build and worker have drifted apart."""
    with pytest.raises(ValidationError, match=name):
        Launch.model_validate({key: value for key, value in LAUNCH.items() if key != name})


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00"])
def test_what_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    """A truncated file is an error with a name, not a traceback."""
    with pytest.raises(LaunchError, match=r"launch.json is .*rebuild the image"):
        load(tmp_path / "launch.json", content)


def test_a_missing_file_is_named() -> None:
    """The message says which file, and how to choose another."""
    with pytest.raises(LaunchError, match=r"/nowhere/launch.json .*SDKILN_LAUNCH"):
        load_launch({"SDKILN_LAUNCH": "/nowhere/launch.json"})


def launch_with(*arguments: str) -> Launch:
    """Return launch options with these arguments for the web UI."""
    return Launch.model_validate(LAUNCH | {"argv": ["webui.py", *arguments]})


def test_folders_of_the_arguments_are_made(tmp_path: Path) -> None:
    """/tmp is empty in a fresh container, and the web UI expects its folders."""
    data, settings = tmp_path / "a" / "data", tmp_path / "b" / "settings.json"
    make_folders(launch_with("--data-dir", str(data), f"--ui-settings-file={settings}"))
    make_folders(launch_with("--data-dir", str(data)))
    assert data.is_dir()
    assert settings.parent.is_dir()
    assert not settings.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """As on a read-only root."""
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError, match=r"cannot make .*/file/data"):
        make_folders(launch_with("--data-dir", str(tmp_path / "file" / "data")))


@pytest.mark.parametrize(
    ("argv", "environ"),
    [
        (["--rp_serve_api"], {}),
        (["--rp_serve_api", "--rp_api_host", "0.0.0.0", "--rp_api_port", "8000"], {}),
        (["--test_input", '{"input": {"prompt": ""}}'], {}),
        ([], {"RUNPOD_WEBHOOK_GET_JOB": "http://somewhere/job-take/$ID?gpu=x"}),
        ([], {"RUNPOD_REALTIME_PORT": "8000"}),
        ([], {"SDKILN_WEBUI_ONLY": "1"}),
    ],
)
def test_each_way_to_serve_is_accepted(argv: list[str], environ: dict[str, str]) -> None:
    """RunPod's environment, a local API, one job, or the web UI alone."""
    check_arguments(argv, environ)


@pytest.mark.parametrize(
    ("argv", "environ", "fault"),
    [
        ([], {}, "nothing to serve: .*--rp_serve_api"),
        ([], {"RUNPOD_WEBHOOK_GET_JOB": ""}, "nothing to serve"),
        ([], {"SDKILN_WEBUI_ONLY": "0"}, "nothing to serve"),
        (["--rp_api_port", "8000"], {}, "nothing to serve"),
        (["--rp_serve"], {}, "unrecognized arguments: --rp_serve"),
        (["--test_input", "{"], {}, "not JSON"),
        (["--test_input", "[]"], {}, "object with"),
        (["--test_input", '{"inputs": {}}'], {}, "object with"),
        (["--rp_serve_api", "--test_input", '{"input": {}}'], {}, "not allowed with"),
    ],
)
def test_what_cannot_be_served_ends_with_usage(
    argv: list[str], environ: dict[str, str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The SDK would find out only after the web UI's start, or not at all."""
    with pytest.raises(SystemExit) as ended:
        check_arguments(argv, environ)
    assert ended.value.code == 2
    assert re.search(fault, capsys.readouterr().err)
