"""buildx is given the machine's secrets for its time alone, and a failed export is explained."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from uv import find_uv_bin

from scripts.build import buildx
from scripts.build.engine import Engine
from scripts.build.retry import Dropped
from scripts.lock.settings import configuration
from scripts.workspace.errors import Failure


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(buildx, "SECRETS", tmp_path / "secrets")
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    (tmp_path / "uv.toml").touch()
    return tmp_path


def test_secrets_are_there_for_the_build_alone_and_for_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://potter:w@localhost/simple")
    with buildx.secrets() as files:
        assert "potter:w@localhost" in files["uv-env"].read_text()
        assert stat.S_IMODE(buildx.SECRETS.stat().st_mode) == 0o700
        assert stat.S_IMODE(files["uv-env"].parent.stat().st_mode) == 0o700
    assert list(buildx.SECRETS.iterdir()) == []


def test_secrets_of_a_build_that_was_killed_go_with_the_next_one() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, ours = (buildx.SECRETS / f"{pid}-x" for pid in (gone.pid, os.getpid()))
    for each in (left, ours):
        each.mkdir(parents=True)
        (each / "uv-env").write_text("secret")
    with buildx.secrets():
        assert not left.exists()
        assert ours.exists()


SETTINGS = """\
extra-index-url = ["http://localhost/extra"]
[[index]]
name = "own"
url = "http://potter:w@localhost/own"
[[index]]
name = "mirror"
url = "http://localhost/mirror"
default = true
[[index]]
name = "apart"
url = "http://localhost/apart"
explicit = true
"""


def test_the_indexes_of_uv_toml_reach_the_build(folder: Path) -> None:
    (folder / "uv.toml").write_text(SETTINGS)
    with buildx.secrets() as files:
        assert files["uv-env"].read_text().splitlines() == [
            "export UV_DEFAULT_INDEX=mirror=http://localhost/mirror",
            "export UV_EXTRA_INDEX_URL=http://localhost/extra",
            "export UV_INDEX=own=http://potter:w@localhost/own",
        ]
    (folder / "uv.toml").write_text('index-url = "http://localhost/simple"\n')
    with buildx.secrets() as files:
        said = files["uv-env"].read_text()
        assert said == "export UV_DEFAULT_INDEX=http://localhost/simple\n"


def test_variables_go_before_uv_toml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "uv.toml").write_text(SETTINGS)
    monkeypatch.setenv("UV_INDEX_URL", "http://localhost/variable")
    monkeypatch.setenv("UV_INDEX", "http://localhost/first")
    monkeypatch.setenv("UV_INDEX_OWN_PASSWORD", "w")
    assert buildx.index_settings(configuration()) == {
        "UV_INDEX_URL": "http://localhost/variable",
        "UV_INDEX": "http://localhost/first own=http://potter:w@localhost/own",
        "UV_INDEX_OWN_PASSWORD": "w",
        "UV_EXTRA_INDEX_URL": "http://localhost/extra",
    }


def test_uv_takes_what_the_build_is_given(folder: Path) -> None:
    """Names of indexes, too; it tells its indexes without asking one of them."""
    (folder / "uv.toml").write_text(SETTINGS)
    done = subprocess.run(
        [
            *(find_uv_bin(), "pip", "compile", "-", "--quiet", "--no-header", "--no-config"),
            *("--emit-index-url", f"--python={sys.executable}", "--no-python-downloads"),
        ],
        input="",
        env={"HOME": str(folder), **buildx.index_settings(configuration())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [
        *("--index-url", "http://localhost/mirror"),
        *("--extra-index-url", "http://potter:w@localhost/own"),
        *("--extra-index-url", "http://localhost/extra"),
    ]


def bake(folder: Path, error: str, monkeypatch: pytest.MonkeyPatch, **asked: list[str]) -> Failure:
    """Return what is raised when a stand-in of buildx fails while it exports."""
    vertex = {"digest": "sha256:1", "name": "exporting to image", "error": error}
    vertex |= {"started": "2026-01-01T00:00:00Z", "completed": "2026-01-01T00:00:01Z"}
    program = folder / "buildx"
    program.write_text(f"#!/bin/sh\necho '{json.dumps({'vertexes': [vertex]})}' >&2\nexit 1\n")
    program.chmod(0o755)
    file = folder / "bake.json"
    file.write_text(json.dumps({"target": {"image": asked}}))
    engine = Engine("unix:///nowhere.sock", Path("/bin/docker"), embedded=False)
    monkeypatch.setattr(Engine, "buildx_command", [str(program)])
    monkeypatch.setattr(buildx, "why_gone", lambda engine: "")
    with pytest.raises(Failure) as failure:
        buildx.bake(engine, file, "image", Console(quiet=True))
    return failure.value


@pytest.mark.parametrize(
    "error", ["no space left on device", "short write: no space left on device"]
)
def test_a_disk_that_fills_while_an_image_is_exported_is_no_dropped_push(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    for output in ("type=image,name=a", "type=image,push=true"):
        failure = bake(folder, error, monkeypatch, output=[output])
        assert not isinstance(failure, Dropped)
        assert "The disk is full" in failure.hint


def test_only_what_is_sent_away_is_worth_another_attempt(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = "dial tcp 127.0.0.1:1: connect: connection refused"
    assert isinstance(bake(folder, refused, monkeypatch, output=["push=true"]), Dropped)
    said = "failed to copy: unexpected EOF"
    kept = bake(folder, said, monkeypatch, output=["type=image,name=a"])
    assert not isinstance(kept, Dropped)
    assert said in kept.message
    cache = {"cache-to": ["type=registry,ref=a"]}
    for asked in ({"output": ["type=image,push=true"]}, cache):
        assert isinstance(bake(folder, said, monkeypatch, **asked), Dropped)
