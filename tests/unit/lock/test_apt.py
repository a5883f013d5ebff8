"""The Debian mirror of a machine, as its apt names it; apt is a fake that names what it is told."""

from pathlib import Path

import pytest

from scripts.lock import apt
from scripts.workspace.errors import Failure

MAIN, SECURITY = "http://mirror.example/debian", "http://mirror.example/debian-security"


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(apt.MIRROR, raising=False)


def named(folder: Path, patch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let this machine's apt have these addresses."""
    program = folder / "apt-get"
    program.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(addresses) + "\nEND\n")
    program.chmod(0o755)
    patch.setenv("PATH", str(folder), prepend=":")


def test_the_main_archive_is_told_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(tmp_path, monkeypatch, f"{SECURITY}/", f"{MAIN}/")
    assert apt.mirror() == MAIN


@pytest.mark.parametrize("slashes", ["", "//"])
def test_a_file_of_mirrors_is_read(
    slashes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian's cloud images have one for each archive."""
    files = {name: tmp_path / f"{name}.list" for name in ("security", "main")}
    files["security"].write_text(f"{SECURITY}\n")
    files["main"].write_text(f"# ours\n\n{MAIN}/\tpriority:1\nhttp://other.example/debian\n")
    uris = [f"mirror+file:{slashes}{file}" for file in files.values()]
    named(tmp_path, monkeypatch, *uris)
    assert apt.mirror() == MAIN


def test_where_no_address_is_the_main_archive_those_that_are_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = "http://user:hunter2@mirror.example/ubuntu"
    gone = f"mirror+file:{tmp_path}/gone.list"
    named(tmp_path, monkeypatch, login, login, gone)
    with pytest.raises(Failure) as failure:
        apt.mirror()
    assert "http://mirror.example/ubuntu" in failure.value.message
    assert gone in failure.value.message
    assert "hunter2" not in failure.value.message
    assert apt.MIRROR in failure.value.hint


def test_an_apt_without_any_address_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(tmp_path, monkeypatch)
    with pytest.raises(Failure, match="this machine's apt has none"):
        apt.mirror()
