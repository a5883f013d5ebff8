"""`build -- --shell`: a stage looked into, or the state before what failed; nothing is left."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from scripts.build.shell import IMAGE, SHELLS
from scripts.workspace.paths import ROOT
from tests.support.workspaces import Apart


def ask(apart: Apart, commands: str, *arguments: str) -> tuple[int, str]:
    """Give a shell commands on stdin; return its exit code and all that was said."""
    process = apart.start(*arguments)
    said, _ = process.communicate(commands, timeout=300)
    return process.returncode, said


@pytest.fixture(autouse=True)
def nothing_stays(apart: Apart) -> Iterator[None]:
    yield
    assert not apart.client().containers.list(all=True)
    assert not list((apart.folder / "builds" / SHELLS.name).iterdir())


def test_commands_on_stdin_run_in_the_stage(apart: Apart) -> None:
    code, said = ask(apart, "ls /layer/opt\nid -u\n", "--shell=layout")
    assert code == 0, said
    assert said.splitlines()[-3:] == ["webui", "worker", "0"]


def test_the_exit_code_is_the_shells(apart: Apart) -> None:
    assert ask(apart, "exit 7\n", "--shell=layout")[0] == 7


def test_nox_hands_on_what_comes_on_stdin(apart: Apart) -> None:
    done = subprocess.run(
        ["./nox", "-s", "build", "--", "--shell=layout", *apart.small],
        cwd=ROOT,
        env={**os.environ, "SDKILN_EMBEDDED_ENGINE": "1"}
        | {"SDKILN_WORKSPACE": apart.environment["SDKILN_WORKSPACE"]},
        input="echo $((6 * 7)) in the stage\n",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "42 in the stage\n" in done.stdout


def test_on_a_terminal_the_shell_has_one(apart: Apart) -> None:
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.build", "--shell=layout", *apart.small],
        cwd=ROOT,
        env={**os.environ, **apart.environment},
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    said = b""
    try:
        while not said.endswith(b"# "):
            said += os.read(ours, 1024)
        os.write(ours, b"tty && exit 3\n")
        while b"/dev/pts/" not in said:
            said += os.read(ours, 1024)
        assert process.wait(60) == 3
    finally:
        process.kill()
        os.close(ours)


def test_a_stage_that_is_not_there_is_refused(apart: Apart) -> None:
    code, said = ask(apart, "", "--shell=layut")
    assert code == 2
    assert "has no stage layut. Did you mean layout?" in said


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """An argument that gives the tokenizer's step a package with a wrong hash."""
    (tmp_path / "py-clip").mkdir()
    (tmp_path / "py-clip" / "build.txt").touch()
    (tmp_path / "py-clip" / "packages.txt").write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    return f"--context=locks={tmp_path}"


def test_a_step_that_fails_gives_the_state_before_it_with_its_folders_and_secrets(
    apart: Apart, broken: str, tmp_path: Path
) -> None:
    """The step's own command, run in the shell, fails as it failed in the build."""
    source = f"--context=source={tmp_path}"
    code, said = ask(
        apart,
        "ls /layer; cat /lock/packages.txt; ls /run/secrets; /tools/install-packages /clip",
        "--shell=tokenizer",
        broken,
        source,
    )
    assert code == 1, said
    _, _, shell = said.partition("This is tokenizer before docker/Dockerfile:")
    assert "    /tools/install-packages /clip \\\n    && python3 /make-tok" in shell
    assert "cannot access '/layer'" in shell
    assert "six==1.17.0 --hash=sha256:000000" in shell
    assert "\nca\nuv-env\n" in shell
    assert "Hash mismatch" in shell


def test_what_fails_outside_of_the_dockerfile_opens_no_shell(apart: Apart) -> None:
    gone = f"--context=base=docker-image://127.0.0.1:1/gone@sha256:{'0' * 64}"
    code, said = ask(
        apart, "echo opened\n", "--shell=layout", gone, f"--context=source={ROOT}/docs"
    )
    assert code == 1
    assert "load metadata for 127.0.0.1:1/gone" in said
    assert "opened" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_shell_that_is_stopped_is_removed_with_its_image(
    apart: Apart, number: signal.Signals
) -> None:
    process = apart.start("--shell=layout")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("echo ready; sleep 600\n")
    process.stdin.flush()
    while "ready" not in process.stdout.readline():
        assert process.poll() is None
    image = f"{IMAGE}:{process.pid}"
    assert apart.client().images.get(image)
    process.send_signal(number)
    assert process.wait(60) in (-number, 128 + number)
    if number == signal.SIGKILL:
        # Nothing can be done then; the next one does it.
        assert ask(apart, "", "--shell=layout")[0] == 0
    with pytest.raises(ImageNotFound):
        apart.client().images.get(image)
    process.stdin.close()
    process.stdout.close()
