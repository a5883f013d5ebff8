"""What the stand-in keeps: settings on disk, the current job, and its port."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import webui
from hypothesis import given
from hypothesis import strategies as st

from standin.infotext import infotext, quote
from standin.jobs import Jobs
from standin.options import DEFAULTS, Options

ATTENTION = "cross_attention_optimization"


def test_settings_survive_a_restart(tmp_path: Path) -> None:
    """They are in the file when `update` returns, and nothing else is in the folder."""
    file = tmp_path / "new" / "settings.json"
    Options(file).update({ATTENTION: "Doggettx"})
    assert Options(file)[ATTENTION] == "Doggettx"
    assert list(file.parent.iterdir()) == [file]
    assert json.loads(file.read_text()) == {**DEFAULTS, ATTENTION: "Doggettx"}


def test_an_unknown_setting_changes_nothing(tmp_path: Path) -> None:
    """Not even the known ones beside it."""
    options = Options(tmp_path / "settings.json")
    with pytest.raises(KeyError, match="nope"):
        options.update({"sd_vae": "None", "nope": 1})
    assert options.all() == DEFAULTS
    assert not options.file.exists()


def test_a_settings_file_that_is_no_json_is_put_aside(tmp_path: Path) -> None:
    """It is kept for whoever wants to mend it, and the defaults hold."""
    file = tmp_path / "settings.json"
    file.write_text("{")
    assert Options(file).all() == DEFAULTS
    assert (tmp_path / "settings.json.corrupt").read_text() == "{"


def test_settings_of_the_web_ui_that_are_lacking_here_are_left_out(tmp_path: Path) -> None:
    """A file that the web UI wrote can be read."""
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"outdir_samples": "x", ATTENTION: "None"}))
    assert Options(file).all() == {**DEFAULTS, ATTENTION: "None"}


def test_only_a_change_is_told(tmp_path: Path) -> None:
    """Setting the same value again does not switch anything."""
    options = Options(tmp_path / "settings.json")
    told: list[object] = []
    options.on_change(ATTENTION, lambda: told.append(options[ATTENTION]))
    options.update({ATTENTION: "Automatic"})
    options.update({ATTENTION: "None"})
    options.update({"sd_vae": "None"})
    assert told == ["None"]


def test_an_override_can_be_taken_back(tmp_path: Path) -> None:
    """`put` writes and tells nothing, and returns what was there."""
    options = Options(tmp_path / "settings.json")
    options.on_change(ATTENTION, lambda: pytest.fail("an override must not switch attention"))
    before = options.put({ATTENTION: "None", "CLIP_stop_at_last_layers": 2})
    assert options["CLIP_stop_at_last_layers"] == 2
    options.put(before)
    assert options.all() == DEFAULTS
    assert not options.file.exists()


def test_progress_grows_from_nothing_to_nothing() -> None:
    """0 without a job, under 1 in its last step, 0 again after it."""
    jobs, seen = Jobs(), []
    assert jobs.snapshot()["progress"] == 0
    with jobs.running("job", count=2, steps=4):
        for _ in range(2):
            for step in range(4):
                jobs.step = step
                seen.append(float(str(jobs.snapshot()["progress"])))
            jobs.next_batch()
        assert jobs.snapshot()["progress"] == 1
    assert seen == sorted(seen)
    assert seen[0] == pytest.approx(0.01)
    assert seen[-1] < 1
    assert jobs.snapshot()["progress"] == 0


def test_an_interrupt_is_of_the_current_job_only() -> None:
    """One that comes between jobs does not stop the next."""
    jobs = Jobs()
    jobs.interrupt()
    with jobs.running("job", 1, 1):
        assert not jobs.interrupted
        jobs.interrupt()
        assert jobs.interrupted


def test_jobs_take_turns() -> None:
    """No two run at once, and one that fails gives its turn back."""
    jobs, inside, most = Jobs(), 0, 0

    def work() -> None:
        nonlocal inside, most
        with jobs.running("job", 1, 1):
            inside += 1
            most = max(most, inside)
            inside -= 1

    with pytest.raises(ZeroDivisionError), jobs.running("job", 1, 1):
        raise ZeroDivisionError
    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert most == 1
    assert not jobs.turn.locked()


def test_infotext_is_in_the_web_uis_form() -> None:
    """Prompt, negative prompt, parameters; without those that are None."""
    parameters = {"Steps": 2, "Model hash": None, "Size": "64x64", "Note": "a, b"}
    assert infotext("cat", "dog", parameters) == (
        'cat\nNegative prompt: dog\nSteps: 2, Size: 64x64, Note: "a, b"'
    )
    assert infotext("", "", {"Steps": 1}) == "Steps: 1"


@given(st.text())
def test_a_quoted_value_can_be_read_back(text: str) -> None:
    """Whatever it holds, it has no bare separator."""
    quoted = quote(text)
    assert (json.loads(quoted) if quoted != text else quoted) == text
    if quoted == text:
        assert not set(text) & set(",\n:")


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_an_address_that_cannot_be_had_is_said_at_once(host: str, tmp_path: Path) -> None:
    """Exit code 1 before anything heavy is imported, with what to do, and no traceback."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-B", webui.__file__, "--server-name", host, "--port", str(port)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"Cannot listen on {host} port {port}" in said
    assert "--port" in said
    assert "Traceback" not in said


def test_it_says_that_it_is_a_stand_in(tmp_path: Path) -> None:
    """In its help and in its first line of output."""
    run = [sys.executable, "-B", webui.__file__]
    asked = subprocess.run([*run, "--help"], capture_output=True, text=True, check=True)
    assert "stand-in" in asked.stdout.lower()
    done = subprocess.run(
        [*run, "--server-name", "no-such-host.invalid"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "STAND-IN" in done.stdout.splitlines()[0]
