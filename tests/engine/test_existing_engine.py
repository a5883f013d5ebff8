"""The machine's own engine: what DOCKER_HOST names is used, or refused with a sentence."""

from pathlib import Path

from tests.support.commands import command


def test_a_docker_host_where_nothing_is_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    environment = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "PATH": str(tmp_path)}
    done = command("engine", "start", environment=environment)
    assert done.returncode == 1
    assert "DOCKER_HOST names unix:///nowhere/docker.sock, where nothing is." in done.stderr


def test_a_docker_host_without_a_docker_program_is_an_error(tmp_path: Path) -> None:
    done = command(
        "engine", "status", environment={"DOCKER_HOST": "unix:///x", "PATH": str(tmp_path)}
    )
    assert done.returncode == 1
    assert "DOCKER_HOST is set, but there is no program docker." in done.stderr
