"""Index pages are reused only when they were fetched after the cutoff, and not for long."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from scripts.lock import uv
from scripts.workspace.processes import Done, Processes


def max_age(folder: Path, passed: timedelta) -> int:
    """Return for how many seconds pages are reused when the cutoff has passed so long ago."""
    made = uv.prepared(Processes(1), folder, datetime.now(timezone.utc) - passed)
    assert made.options == [f"--config-file={folder / 'uv.toml'}"]
    (age,) = re.findall(r'api = "max-age=(\d+)"', (folder / "uv.toml").read_text())
    return int(age)


def test_a_page_may_be_older_than_the_lock_but_not_than_the_cutoff(tmp_path: Path) -> None:
    assert max_age(tmp_path, timedelta(seconds=-3600)) == 0
    # The clock runs on meanwhile.
    assert 60 <= max_age(tmp_path, timedelta(seconds=60)) < 120
    assert max_age(tmp_path, timedelta(days=3)) == uv.PAGE_MAX_AGE_S


def test_the_client_s_own_index_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    max_age(tmp_path, timedelta(days=3))
    assert 'url = "http://127.0.0.1:1/simple"' in (tmp_path / "uv.toml").read_text()
    assert 'files = "max-age=31536000, immutable"' in (tmp_path / "uv.toml").read_text()


def test_uv_asks_less_at_once_and_looks_up_again_soon_unless_it_is_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("UV_CONCURRENT_DOWNLOADS", "RES_OPTIONS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    seen: list[dict[str, str]] = []

    class Noted(Processes):
        def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Done:
            seen.append(dict(environment or {}))
            return Done(command, 0, "", "")

    asked = uv.prepared(Noted(1), tmp_path, datetime.now(timezone.utc))
    asked(["pip", "compile"])
    monkeypatch.setenv("UV_CONCURRENT_DOWNLOADS", "3")
    monkeypatch.setenv("RES_OPTIONS", "timeout:9")
    asked(["pip", "compile"])
    assert [tuple(each[name] for name in names) for each in seen] == [
        (str(uv.DOWNLOADS), uv.LOOKUPS),
        ("3", "timeout:9"),
    ]


@pytest.mark.parametrize(
    ("index", "url", "login"),
    [
        ("https://a:b%40c@host/simple", "https://host/files/x.tar.gz", ("a", "b@c")),
        ("https://token@host/simple", "https://host/x.tar.gz", ("token", "")),
        ("https://host/simple", "https://host/x.tar.gz", None),
        ("https://a:b@host/simple", "https://files.host/x.tar.gz", None),
        ("https://a:b@host/simple", "http://host/x.tar.gz", None),
        ("https://a:b@host/simple", "https://host:8443/x.tar.gz", None),
        ("", "https://host/x.tar.gz", None),
    ],
)
def test_the_index_s_login_goes_to_its_own_server_alone(
    index: str, url: str, login: tuple[str, str] | None
) -> None:
    assert uv.Uv(Processes(1), [], index).login(url) == login
