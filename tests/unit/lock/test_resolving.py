"""Targets resolved by the real uv against an index on localhost that is told how to behave."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from scripts.lock import resolve, sdists
from scripts.lock.lockfile import File, Lockfile, pins
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import Environment, Lock, Workspace, load, targets
from tests.support.index import Index

PLATFORM = "x86_64-manylinux_2_28"


@pytest.fixture(autouse=True)
def builder(index: Index) -> None:
    index.wheel("setuptools", "80.0")


Locked = Callable[..., list[Lockfile]]


@pytest.fixture
def lock(tmp_path: Path) -> Locked:
    """Lock .in files given by environment, with `build` beside them as every workspace has it."""

    def locked(
        as_of: str = "2026-02-01",
        ahead: dict[str, date] | None = None,
        universal: bool = False,
        extends: dict[str, str] | None = None,
        preferred: Lockfile | None = None,
        **texts: str,
    ) -> list[Lockfile]:
        environments = {}
        for name, text in {"build": "setuptools\n", **texts}.items():
            (tmp_path / f"{name}.in").write_text(text)
            environments[name] = Environment(
                requirements=str(tmp_path / f"{name}.in"),
                imports=(name,),
                pythons=("3.10", "3.11") if universal else ("3.11",),
                universal=universal or name == "build",
                extends=(extends or {}).get(name),
            )
        workspace = workspace_with(environments, as_of, ahead or {})
        jobs = [resolve.job(workspace, target) for target in targets(workspace)]
        if preferred is not None:
            jobs = [
                replace(each, preferred=tuple(pins(preferred.body)))
                if each.path == preferred.path
                else each
                for each in jobs
            ]
        return [
            made
            for made in resolve.compile_all(jobs, workspace)
            if not made.path.name.startswith("build")
        ]

    return locked


def workspace_with(
    environments: dict[str, Environment], as_of: str, ahead: dict[str, date]
) -> Workspace:
    settings = Lock(as_of=date.fromisoformat(as_of), platform=PLATFORM, ahead=ahead)
    return load().model_copy(update={"lock": settings, "environments": environments})


def versions(lock: Lockfile) -> dict[str, str]:
    return {pin.name: pin.version for pin in pins(lock.body)}


def test_what_was_uploaded_on_the_last_day_counts_and_what_came_later_does_not(
    index: Index, lock: Locked
) -> None:
    index.wheel("clay", "1.0", "2026-01-31", requires=["kiln"])
    index.wheel("kiln", "1.0", "2026-02-01")
    index.wheel("kiln", "2.0", "2026-02-02")
    assert versions(*lock(app="clay\n")) == {"clay": "1.0", "kiln": "1.0"}


def test_the_same_inputs_give_the_same_lock_whatever_was_uploaded_since(
    index: Index, lock: Locked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index.wheel("clay", "1.0", "2026-01-01")
    before = lock(app="clay\n")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    index.wheel("clay", "1.1", "2026-02-02")
    index.wheel("clay", "1.0", "2026-02-02", tags="cp311-cp311-manylinux_2_17_x86_64")
    assert lock(app="clay\n") == before


def test_a_package_ahead_of_the_others_moves_alone(index: Index, lock: Locked) -> None:
    for name in ("clay", "kiln"):
        index.wheel(name, "1.0", "2026-01-01")
        index.wheel(name, "2.0", "2026-03-01")
    made = lock(app="clay\nkiln\n", ahead={"kiln": date(2026, 3, 1)})
    assert versions(*made) == {"clay": "1.0", "kiln": "2.0"}
    assert made[0].inputs["as_of.kiln"] == "2026-03-01"


def test_what_is_preferred_stays_where_it_can(
    index: Index, lock: Locked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("clay", "kiln", "sand"):
        index.wheel(name, "1.0", "2026-01-01")
    index.wheel("glaze", "1.0", "2026-01-01", requires=["kiln", "sand"])
    (before,) = lock(app="clay\nglaze\n")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    for name in ("clay", "kiln", "sand"):
        index.wheel(name, "2.0", "2026-03-01")
    index.wheel("glaze", "2.0", "2026-03-01", requires=["kiln>=2", "sand"])
    (after,) = lock(as_of="2026-04-01", preferred=before, app="clay\nglaze==2.0\n")
    assert versions(after) == {"clay": "1.0", "glaze": "2.0", "kiln": "2.0", "sand": "1.0"}


@pytest.fixture
def described(index: Index, monkeypatch: pytest.MonkeyPatch) -> sdists.Sdist:
    """What is said of an sdist of clay, which nothing here can build."""
    index.sdist("clay", "1.0", build=None, static=False)
    index.wheel("kiln", "1.0")
    (file,) = index.files["clay"]
    hashes = file["hashes"]
    assert isinstance(hashes, dict)
    row = sdists.Sdist(version="1.0", sha256=hashes["sha256"], requires=("kiln",))
    monkeypatch.setattr(sdists, "described", lambda: {"clay": row})
    return row


def test_an_sdist_that_is_described_is_locked_without_running_its_code(
    described: sdists.Sdist, lock: Locked, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert versions(*lock(app="clay\n")) == {"clay": "1.0", "kiln": "1.0"}
    monkeypatch.setattr(sdists, "described", dict)
    with pytest.raises(BadInput, match=r"clay==1\.0"):
        lock(app="clay\n")


@pytest.mark.parametrize("other", ["another file", "a wheel beside it", "the version as 1"])
def test_a_release_other_than_the_sdist_that_is_described_is_refused(
    described: sdists.Sdist,
    index: Index,
    lock: Locked,
    monkeypatch: pytest.MonkeyPatch,
    other: str,
) -> None:
    changed = {"sha256": "0" * 64, "version": "1" if other == "the version as 1" else "1.0"}
    if other == "a wheel beside it":
        index.wheel("clay", "1.0", requires=["sand"])
    else:
        row = described.model_copy(update=changed)
        monkeypatch.setattr(sdists, "described", lambda: {"clay": row})
    with pytest.raises(BadInput, match=r"clay==1\.0 is not the one file that .*sdists\.toml"):
        lock(app="clay\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[clay", "at the end of a table declaration"),
        ("[Clay]\nversion = '1'\nsha256 = ''\nrequires = []", "Clay"),
        ("[clay]\nversion = '1'", "clay.sha256: Field required"),
    ],
)
def test_rows_of_sdists_that_cannot_be_read_are_bad_input(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=rf"^sdists\.toml: .*{said}"):
        sdists.parse(text, "sdists.toml")


def test_the_lock_names_the_best_file_for_the_target_with_its_size_and_day(
    index: Index, lock: Locked
) -> None:
    index.wheel("clay", "1.0", "2026-01-01")
    index.wheel("clay", "1.0", "2026-01-02", tags="cp311-cp311-manylinux_2_17_x86_64")
    index.wheel("clay", "1.0", "2026-01-03", tags="cp311-cp311-manylinux_2_34_x86_64")
    index.wheel("clay", "1.0", "2026-01-04", tags="cp311-cp311-win_amd64")
    (pin,) = pins(lock(app="clay\n")[0].body)
    name = "clay-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"
    assert pin.file == File(name, len(index.contents[name]), date(2026, 1, 2))
    assert len(pin.hashes) == 4


def test_a_lock_that_extends_another_keeps_its_versions_and_does_not_repeat_them(
    index: Index, lock: Locked
) -> None:
    index.wheel("clay", "1.0")
    index.wheel("clay", "2.0")
    index.wheel("glaze", "1.0", requires=["clay"])
    below, above = lock(app="clay<2\n", more="glaze\n", extends={"more": "app"})
    assert versions(below) == {"clay": "1.0"}
    assert versions(above) == {"glaze": "1.0"}
    assert ".constraints" not in above.body


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("clay\nkiln==\n", "Couldn't parse|expected", "app.in:2: kiln=="),
        ("# clay\nclay==1.0\nglaze\n", "No solution found", "app.in:2: clay==1.0"),
        ("nothing-like-it\n", "was not found", "app.in:1: nothing-like-it"),
        ("early\n", "exclude-newer", "app.in:1: early"),
        (
            "clay @ {url}/files/clay-1.0-py3-none-any.whl\n",
            "not pinned by version",
            "app.in:1: clay",
        ),
    ],
)
def test_what_cannot_be_locked_is_bad_input_with_the_reason_and_the_line(
    index: Index, lock: Locked, text: str, said: str, line: str
) -> None:
    index.wheel("clay", "1.0")
    index.wheel("clay", "2.0")
    index.wheel("glaze", "1.0", requires=["clay>=2"])
    index.wheel("early", "1.0", "2026-05-01")
    with pytest.raises(BadInput, match=said) as failure:
        lock(app=text.format(url=index.url))
    assert line in failure.value.message
    assert "Nothing was written" in failure.value.hint


def test_a_yanked_release_is_refused_with_the_reason_for_the_yank(
    index: Index, lock: Locked
) -> None:
    index.wheel("clay", "1.0", yanked="cracks in the fire")
    with pytest.raises(BadInput, match=r"clay==1\.0 was yanked: cracks in the fire") as failure:
        lock(app="clay==1.0\n")
    assert "app.in:1: clay==1.0" in failure.value.message


def test_an_sdist_is_refused_until_what_builds_it_is_locked(index: Index, lock: Locked) -> None:
    index.wheel("potter", "3.0")
    index.sdist("clay", "1.0", build=["setuptools>=40", "potter>=2"])
    with pytest.raises(BadInput, match=r"clay==1\.0 has no wheel.*needs potter>=2") as failure:
        lock(app="clay\n")
    assert "requirements/build.in" in failure.value.message
    assert versions(*lock(app="clay\n", build="setuptools\npotter\n")) == {"clay": "1.0"}


def test_an_sdist_is_refused_when_what_builds_it_is_locked_too_old(
    index: Index, lock: Locked
) -> None:
    index.sdist("clay", "1.0", build=["setuptools>=81"])
    with pytest.raises(BadInput, match=r"needs setuptools>=81: .*holds setuptools 80\.0"):
        lock(app="clay\n")


def test_what_builds_an_sdist_elsewhere_is_not_asked_for(index: Index, lock: Locked) -> None:
    elsewhere = 'potter; python_version < "3.11"'
    index.sdist("clay", "1.0", build=["setuptools", elsewhere])
    assert versions(*lock(app="clay\n")) == {"clay": "1.0"}


def test_an_sdist_that_names_no_builder_needs_setuptools(index: Index, lock: Locked) -> None:
    index.sdist("clay", "1.0", build=None)
    assert versions(*lock(app="clay\n")) == {"clay": "1.0"}
    with pytest.raises(BadInput, match="needs setuptools"):
        lock(app="clay\n", build="")


def test_an_sdist_is_fetched_with_the_login_in_the_address_of_the_index(
    index: Index, lock: Locked, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.sdist("clay", "1.0", build=["setuptools"])
    index.login = "potter:w@ter"
    address = index.url.replace("//", "//potter:w%40ter@")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{address}/simple")
    (made,) = lock(app="clay\n")
    assert versions(made) == {"clay": "1.0"}
    assert "w%40ter" not in made.text()


def test_a_wheel_for_another_platform_is_refused(index: Index, lock: Locked) -> None:
    index.wheel("clay", "1.0", tags="cp311-cp311-manylinux_2_34_x86_64")
    with pytest.raises(BadInput, match="clay"):
        lock(app="clay\n")


def test_a_release_for_another_platform_is_passed_over(index: Index, lock: Locked) -> None:
    index.wheel("clay", "1.0", tags="cp311-cp311-manylinux_2_34_x86_64")
    index.wheel("clay", "0.9")
    assert versions(*lock(app="clay\n")) == {"clay": "0.9"}


def test_a_universal_lock_must_install_on_every_python_that_it_is_for(
    index: Index, lock: Locked
) -> None:
    index.wheel("clay", "1.0", tags="cp310-cp310-manylinux_2_17_x86_64")
    with pytest.raises(BadInput, match=r"clay==1\.0 has no wheel for Python 3\.11"):
        lock(app="clay\n", universal=True)
    for tag in ("cp310", "cp311"):
        index.wheel("kiln", "1.0", tags=f"{tag}-{tag}-manylinux_2_17_x86_64")
    assert versions(*lock(app="kiln\n", universal=True)) == {"kiln": "1.0"}


def test_a_target_that_fails_ends_the_others_which_are_not_waited_for(
    index: Index, lock: Locked
) -> None:
    index.wheel("kiln", "1.0")
    index.held = frozenset({"simple/kiln"})
    with pytest.raises(BadInput, match="clay"):
        lock(app="kiln\n", broken="clay\n")
    assert index.waited_for == []
    index.opened.set()


def test_a_universal_lock_names_the_file_of_its_first_python_on_the_platform_of_the_images(
    index: Index, lock: Locked
) -> None:
    for tag in ("cp311", "cp310"):
        index.wheel("clay", "1.0", tags=f"{tag}-{tag}-manylinux_2_17_x86_64")
    index.wheel("ash", "1.0", tags="cp311-abi3-manylinux_2_17_x86_64")
    index.wheel("mud", "1.0")
    asked = "clay\nash; python_version >= '3.11'\nmud; sys_platform == 'win32'\n"
    (made,) = lock(app=asked, universal=True)
    files = {pin.name: pin.file and pin.file.name for pin in pins(made.body)}
    assert files == {
        "ash": "ash-1.0-cp311-abi3-manylinux_2_17_x86_64.whl",
        "clay": "clay-1.0-cp310-cp310-manylinux_2_17_x86_64.whl",
        "mud": None,
    }


def test_a_registry_that_is_busy_for_a_moment_is_asked_again(index: Index, lock: Locked) -> None:
    index.wheel("clay", "1.0")
    index.unavailable = 2
    assert versions(*lock(app="clay\n")) == {"clay": "1.0"}
    assert index.unavailable == 0


@pytest.mark.parametrize("trouble", ["dies", "busy for ever", "never answers", "breaks off"])
def test_a_registry_that_goes_away_is_a_failure_that_names_it(
    index: Index, lock: Locked, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "1")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "1")
    index.wheel("clay", "1.0", requires=["kiln"])
    index.wheel("kiln", "1.0")
    if trouble == "dies":
        index.dies_after = 2
    elif trouble == "never answers":
        index.delay_s = 5
    elif trouble == "breaks off":
        index.breaks_off = True
    else:
        index.unavailable = 1000
    with pytest.raises(Failure, match="could not be reached") as failure:
        lock(app="clay\n")
    assert failure.value.code == 1
    assert "Nothing was written" in failure.value.hint


def test_the_first_target_that_fails_ends_the_others(index: Index, lock: Locked) -> None:
    index.wheel("clay", "1.0")
    with pytest.raises(BadInput) as failure:
        lock(app="clay==2.0\n", other="clay\n", third="clay>3\n")
    assert "stopped" not in failure.value.message


def test_a_page_is_fetched_once_for_all_targets(index: Index, lock: Locked) -> None:
    index.wheel("clay", "1.0")
    lock(app="clay\n", more="clay\n", extends={"more": "app"})
    assert index.asked.count("/simple/clay/") == 1


def test_all_that_a_universal_lock_is_held_to_is_an_input_of_it(index: Index, lock: Locked) -> None:
    index.wheel("clay", "1.0")
    (universal,), (other,) = lock(app="clay\n", universal=True), lock(app="clay\n")
    assert universal.inputs["checked"] == f"{PLATFORM}, Python 3.10, 3.11"
    # What an sdist of it would be built by.
    assert [name for name in universal.inputs if name.endswith("build.in")]
    assert "checked" not in other.inputs
