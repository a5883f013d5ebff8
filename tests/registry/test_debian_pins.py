"""Debian packages looked up in the mirror of this machine's apt, and in one that is away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.lock import apt, pins
from scripts.lock.lookup import ONLY_MISSING, LookUp
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import Debian, Workspace, load
from tests.support.servers import REFUSING

NAMED = LookUp(frozenset({"debian"}))
AWAY = f"http://{REFUSING}"


@pytest.fixture(scope="module", autouse=True)
def lockfiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lockfiles of these tests' own; the packages of `small` are looked up once and written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pins, "LOCKFILES", tmp_path_factory.mktemp("lockfiles"))
        (lock,) = compute(small()).locks
        lock.path.write_text(lock.text())
        yield lock.path


def small(
    system: tuple[str, ...] = ("libtcmalloc-minimal4",), suite: str = "bookworm"
) -> Workspace:
    record = Debian(suite=suite, base=(), system=system)
    return load().model_copy(update={"debian": record})


def compute(asked: Workspace, policy: LookUp = ONLY_MISSING) -> pins.Computed:
    tables = {path: words for path, words in pins.inputs(asked).items() if path.stem == "debian"}
    return pins.compute_all(tables, asked, policy)


def test_packages_come_with_what_they_need_and_their_hashes() -> None:
    found = pins.entries("debian")
    assert {"libtcmalloc-minimal4", "libstdc++6", "base-files"} <= found.keys()
    assert found["libtcmalloc-minimal4"]["layers"] == ["system"]
    assert len(found["libtcmalloc-minimal4"]["sha256"]) == 64


def test_a_look_up_of_what_did_not_move_gives_the_same_lockfile(lockfiles: Path) -> None:
    again = compute(small(), NAMED)
    assert [lock.text() for lock in again.locks] == [lockfiles.read_text()]
    assert again.notes == ()


def test_a_mirror_that_is_away_keeps_the_pins_and_says_so(
    lockfiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to itself, apt takes the lists of an earlier day for an answer."""
    monkeypatch.setenv(apt.MIRROR, AWAY)
    kept = compute(small(), NAMED)
    assert [lock.text() for lock in kept.locks] == [lockfiles.read_text()]
    (note,) = kept.notes
    assert note.startswith(f"debian keeps its {len(pins.entries('debian'))} packages: ")
    assert "Connection refused" in note


@pytest.mark.parametrize(
    ("asked", "policy"),
    [
        (small(), LookUp(frozenset({"debian"}), required=True)),
        (small(system=("libgl1",)), ONLY_MISSING),
    ],
)
def test_a_mirror_that_is_away_fails_what_must_be_looked_up(
    asked: Workspace, policy: LookUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(apt.MIRROR, AWAY)
    with pytest.raises(Failure, match=r"debian: .*Connection refused"):
        compute(asked, policy)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (small(system=("no-such-package",)), "Unable to locate package no-such-package"),
        (small(suite="no-such-suite"), "no-such-suite Release' does not have a Release file"),
    ],
)
def test_what_the_archive_does_not_have_is_bad_input(asked: Workspace, said: str) -> None:
    with pytest.raises(BadInput, match=r"workspace\.toml: debian: ") as failure:
        compute(asked)
    assert said in failure.value.message
    assert failure.value.code == 2
