"""A step that fails: its line of the Dockerfile, its last lines, and the cause from real tools."""

from pathlib import Path

import pytest

from scripts.workspace.paths import DOCKER
from tests.support.commands import Done
from tests.support.registry import Registry, running
from tests.support.workspaces import Apart

SIX = "six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274"


def line(stage: str) -> int:
    """Return the line of a stage's first instruction."""
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    return lines.index(f"FROM base AS {stage}") + 2


def install(
    apart: Apart, folder: Path, packages: str, environment: dict[str, str] | None = None
) -> Done:
    """Build the tokenizer's stage from these packages; the web UI is not built."""
    (folder / "py-clip").mkdir()
    (folder / "py-clip" / "build.txt").touch()
    (folder / "py-clip" / "packages.txt").write_text(f"{packages}\n")
    contexts = (f"--context=locks={folder}", f"--context=source={folder}")
    return apart.build("--target=tokenizer", *contexts, environment=environment)


def test_a_failure_names_the_step_and_its_line_and_keeps_all_that_it_said(
    apart: Apart, tmp_path: Path
) -> None:
    done = install(apart, tmp_path, f"six==1.17.0 --hash=sha256:{'0' * 64}")
    assert done.returncode == 1
    place = f"(docker/Dockerfile:{line('tokenizer')})"
    assert "the build failed at [tokenizer 1/2] RUN /tools/install-packages /clip" in done.stderr
    assert place in done.stderr
    assert "  exit code: 1\n" in done.stderr
    assert "Traceback" not in done.stderr
    log = apart.records / "logs" / "failed" / "tokenizer.txt"
    assert str(log) in done.stderr
    assert "Hash mismatch for `six==1.17.0`" in log.read_text()


def test_a_wrong_hash_is_recognized(apart: Apart, tmp_path: Path) -> None:
    done = install(apart, tmp_path, f"six==1.17.0 --hash=sha256:{'0' * 64}")
    assert "A download does not have the pinned hash." in done.stderr


def test_an_index_that_is_not_reached_is_recognized_and_its_password_not_shown(
    apart: Apart, tmp_path: Path
) -> None:
    index = {"UV_DEFAULT_INDEX": "http://user:hunter2@127.0.0.1:1/simple"}
    done = install(apart, tmp_path, SIX, index)
    assert "Connection refused" in done.stderr
    assert "The build does not reach the network" in done.stderr
    log = (apart.records / "logs" / "failed" / "tokenizer.txt").read_text()
    assert "hunter2" not in done.stderr + done.stdout + log


def test_an_index_whose_name_is_not_found_is_recognized(apart: Apart, tmp_path: Path) -> None:
    done = install(apart, tmp_path, SIX, {"UV_DEFAULT_INDEX": "http://nowhere.invalid/simple"})
    assert "The build does not reach the network" in done.stderr


@pytest.mark.parametrize(
    "packages",
    [
        f"{SIX}\nsix==1.16.0 --hash=sha256:{'0' * 64}",
        f"six==99.0 --hash=sha256:{'0' * 64}",
    ],
    ids=["two versions of one package", "a version that is not there"],
)
def test_pins_that_do_not_go_together_are_recognized(
    apart: Apart, tmp_path: Path, packages: str
) -> None:
    done = install(apart, tmp_path, packages)
    assert "The pins do not go together, or the index lacks one of them." in done.stderr


def test_a_step_that_was_killed_is_recognized(apart: Apart, tmp_path: Path) -> None:
    """By SIGKILL, as the kernel ends a process when memory is short."""
    tools = tmp_path / "tools"
    program = tools / "install" / "install-packages"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    contexts = (f"--context=tools={tools}", f"--context=source={tools}")
    done = apart.build("--target=py-worker", *contexts)
    assert f"(docker/Dockerfile:{line('py-worker')})" in done.stderr
    assert "exit code: 137" in done.stderr
    assert "there was not enough memory" in done.stderr


def test_a_base_image_that_is_gone_is_recognized(
    apart: Apart, registry: Registry, tmp_path: Path
) -> None:
    base = f"--context=base=docker-image://{registry.host}/gone@sha256:{'0' * 64}"
    done = apart.build("--target=layout", base, f"--context=source={tmp_path}")
    assert done.returncode == 1
    assert "The registry no longer has the base image of this digest." in done.stderr


def test_a_base_image_whose_registry_is_not_reached_is_recognized(
    apart: Apart, tmp_path: Path
) -> None:
    base = f"--context=base=docker-image://127.0.0.1:1/any@sha256:{'0' * 64}"
    done = apart.build("--target=layout", base, f"--context=source={tmp_path}")
    assert "The build does not reach the network" in done.stderr


def test_a_base_image_that_asks_for_a_login_is_recognized(apart: Apart, tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    with running(tmp_path / "registry", with_login=True) as started:
        base = f"--context=base=docker-image://{started.host}/any@sha256:{'0' * 64}"
        done = apart.build("--target=layout", base, f"--context=source={tmp_path}")
    assert "The registry does not give the base image to this user." in done.stderr


def test_a_failure_of_the_stand_in_is_named_with_its_own_dockerfile(apart: Apart) -> None:
    base = f"--context=base=docker-image://127.0.0.1:1/any@sha256:{'0' * 64}"
    done = apart.build("--target=layout", base)
    assert "(docker/sandbox/Dockerfile:" in done.stderr


def test_a_package_that_dpkg_refuses_has_no_cause_made_up(apart: Apart, tmp_path: Path) -> None:
    (tmp_path / "broken.deb").write_text("no package")
    done = apart.build("--target=system", f"--context=debs={tmp_path}")
    assert "broken.deb" in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("  All that it said: ")
