"""The machine says how packages are reached; what is resolved follows from the inputs alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lock import resolve, settings
from scripts.lock.lockfile import pins
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Environment, targets
from tests.support.index import Index
from tests.unit.lock.test_resolving import workspace_with

# Of the settings of uv that change what is resolved, those that are used most.
CHANGING = [
    "prerelease",
    "resolution",
    "override",
    "constraint",
    "build-constraint",
    "exclude-newer",
    "exclude-newer-package",
    "no-binary",
    "no-build",
    "only-binary",
    "fork-strategy",
    "no-sources",
    "torch-backend",
    "python",
    "python-platform",
    "python-version",
    "no-index",
    "no-deps",
    "preview",
    "override-dependencies",
    "constraint-dependencies",
    "dependency-metadata",
    "extra-build-dependencies",
    "config-file",
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's settings of uv; no other is read."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))
    for name in ("UV_CONFIG_FILE", "UV_NO_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("home", "system"):
        (tmp_path / name / "uv").mkdir(parents=True)
    return tmp_path / "home" / "uv"


def found(folder: Path, text: str) -> dict[str, str]:
    """Lock an .in file of this text; return the versions."""
    environments = {}
    for name, asked in {"build": "setuptools\n", "app": text}.items():
        (folder / f"{name}.in").write_text(asked)
        environments[name] = Environment(
            requirements=str(folder / f"{name}.in"),
            imports=(name,),
            pythons=("3.11",),
            universal=name == "build",
        )
    workspace = workspace_with(environments, "2026-02-01", {})
    jobs = [resolve.job(workspace, target) for target in targets(workspace)]
    made = resolve.compile_all(jobs, workspace)
    return {pin.name: pin.version for lock in made for pin in pins(lock.body)}


@pytest.mark.parametrize("of", ["variable", "uv.toml", "uv.toml, [pip]"])
def test_the_same_inputs_give_the_same_lock_whatever_the_machine_s_settings(
    of: str, index: Index, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "2.0", "3.0rc1"):
        index.wheel("clay", version, requires=["kiln"])
        index.wheel("kiln", version)
    index.wheel("setuptools", "80.0")
    overrides = tmp_path / "overrides.txt"
    overrides.write_text("kiln==1.0\n")
    lines = 'resolution = "lowest"\nprerelease = "allow"\n'
    if of == "variable":
        monkeypatch.setenv("UV_RESOLUTION", "lowest")
        monkeypatch.setenv("UV_PRERELEASE", "allow")
        monkeypatch.setenv("UV_OVERRIDE", str(overrides))
        monkeypatch.setenv("UV_EXCLUDE_NEWER_PACKAGE", "clay=2020-01-01")
    elif of == "uv.toml":
        (home / "uv.toml").write_text(f'{lines}override-dependencies = ["kiln==1.0"]\n')
    else:
        (home / "uv.toml").write_text(f"[pip]\n{lines}")
    assert found(tmp_path, "clay\n") == {"clay": "2.0", "kiln": "2.0", "setuptools": "80.0"}


def test_the_index_and_the_login_of_the_machine_s_settings_are_taken(
    index: Index, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("UV_INDEX_CORP_USERNAME", "potter")
    monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", "water")
    index.login = "potter:water"
    index.wheel("setuptools", "80.0")
    index.wheel("clay", "1.0")
    (home / "uv.toml").write_text(
        f'[[index]]\nname = "corp"\nurl = "{index.url}/simple"\ndefault = true\n'
    )
    assert found(tmp_path, "clay\n")["clay"] == "1.0"
    assert index.asked.count("/simple/clay/") <= 2  # once without the login


@given(st.sampled_from(CHANGING), st.booleans())
def test_no_setting_that_changes_a_lock_is_the_machine_s(name: str, upper: bool) -> None:
    assert not settings.is_of_machine(name.upper().replace("-", "_") if upper else name)


REACHING = (
    "INDEX_URL DEFAULT_INDEX EXTRA_INDEX_URL INDEX INDEX_CORP_PASSWORD FIND_LINKS CACHE_DIR "
    "KEYRING_PROVIDER NATIVE_TLS SYSTEM_CERTS INSECURE_HOST HTTP_TIMEOUT HTTP_RETRIES OFFLINE "
    "CONCURRENT_DOWNLOADS REQUEST_TIMEOUT SSL_CERT_FILE https-proxy allow-insecure-host "
    "index-strategy"
)


@pytest.mark.parametrize("name", REACHING.split())
def test_how_packages_are_reached_is_the_machine_s(name: str) -> None:
    assert settings.is_of_machine(name)


def test_the_user_s_file_goes_before_the_system_s_and_lists_are_put_together(
    home: Path, tmp_path: Path
) -> None:
    (home / "uv.toml").write_text('[[index]]\nurl = "https://a/simple"\n[pip]\noffline = true\n')
    (tmp_path / "system" / "uv" / "uv.toml").write_text(
        'offline = false\nfind-links = ["/b"]\n[[index]]\nurl = "https://b/simple"\n'
    )
    assert settings.configuration() == {
        "index": [{"url": "https://a/simple"}, {"url": "https://b/simple"}],
        "find-links": ["/b"],
        "offline": True,
    }


def test_a_named_file_is_the_only_one_and_none_may_be_wanted(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "uv.toml").write_text("offline = true\n")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    assert settings.configuration() == {}
    named = tmp_path / "named.toml"
    named.write_text('cache-dir = "/c"\nresolution = "lowest"\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(named))
    assert settings.configuration() == {"cache-dir": "/c"}
    named.write_text("cache-dir = ")
    with pytest.raises(BadInput, match=r"uv's settings in .*named\.toml cannot be read"):
        settings.configuration()
