"""A lock that pip or a build would stumble over is told apart from one that is complete."""

from datetime import datetime, timedelta, timezone

import pytest

from scripts.lock.complete import Resolved, problems
from scripts.lock.lockfile import Pin
from scripts.lock.releases import Artifact, Release, installed, tags
from scripts.workspace.model import load

LIMIT = datetime(2026, 1, 1, tzinfo=timezone.utc)
PLATFORM = "x86_64-manylinux_2_28"


def artifact(name: str, sha256: str = "aa", uploaded: datetime | None = None) -> Artifact:
    day = uploaded or LIMIT - timedelta(days=1)
    return Artifact(f"http://localhost/a%2Bb/{name}", 1, day, sha256)


def release(*wheels: Artifact) -> Release:
    return Release("clay", "1", None, None, wheels)


PIN = Pin("clay", "1", "clay==1", ("sha256:aa",))
WHEEL = artifact("clay-1-py3-none-any.whl")


def found(resolved: Resolved, **cutoffs: datetime) -> list[str]:
    return list(problems(resolved, load(), {"*": LIMIT, **cutoffs}, [], lambda url: None))


def resolved(*releases: Release, below: frozenset[str] = frozenset()) -> Resolved:
    return Resolved([PIN], releases, below, {}, ["3.11"], universal=False)


def test_a_complete_lock_has_no_problem() -> None:
    assert found(resolved(release(WHEEL))) == []


def test_a_package_outside_the_lock_is_named() -> None:
    glaze = Release("glaze", "2", None, None, (artifact("glaze-2-py3-none-any.whl"),))
    assert found(resolved(release(WHEEL), glaze)) == [
        "glaze==2 is needed, but it is not in the lock."
    ]
    assert found(resolved(release(WHEEL), glaze, below=frozenset({"glaze"}))) == []


def test_a_file_from_after_the_cutoff_is_named() -> None:
    late = artifact("clay-1-py3-none-any.whl", uploaded=LIMIT)
    assert "too late" in found(resolved(release(late)))[0]
    assert found(resolved(release(late)), clay=LIMIT + timedelta(days=1)) == []


def test_a_file_whose_hash_is_not_locked_is_named() -> None:
    (problem,) = found(resolved(release(artifact("clay-1-py3-none-any.whl", "bb"))))
    assert "its hash is not locked" in problem


@pytest.mark.parametrize(
    "wheel",
    [
        "clay-1-cp312-cp312-manylinux_2_17_x86_64.whl",
        "clay-1-cp311-cp311-manylinux_2_39_x86_64.whl",
        "clay-1-cp311-cp311-musllinux_1_2_x86_64.whl",
        "clay-1-cp311-cp311-manylinux_2_17_aarch64.whl",
        "clay-1-cp311-cp311-win_amd64.whl",
        "clay-1-py2-none-any.whl",
    ],
)
def test_a_wheel_that_does_not_fit_is_named(wheel: str) -> None:
    (problem,) = found(resolved(release(artifact(wheel))))
    assert "has no wheel for Python 3.11" in problem
    assert wheel in problem


@pytest.mark.parametrize(
    "wheel",
    [
        "clay-1-cp311-cp311-manylinux_2_28_x86_64.whl",
        "clay-1-cp311-cp311-manylinux2014_x86_64.whl",
        "clay-1-cp311-cp311-manylinux1_x86_64.whl",
        "clay-1-cp37-abi3-manylinux2010_x86_64.whl",
        "clay-1-py3-none-manylinux_2_17_x86_64.whl",
        "clay-1-py2.py3-none-any.whl",
    ],
)
def test_a_wheel_that_fits_is_taken(wheel: str) -> None:
    assert found(resolved(release(artifact(wheel)))) == []


def test_the_most_specific_wheel_is_taken_before_the_sdist() -> None:
    exact = artifact("clay-1-cp311-cp311-manylinux_2_17_x86_64.whl")
    sdist = artifact("clay-1.tar.gz")
    both = Release("clay", "1", None, sdist, (WHEEL, exact))
    assert installed(both, "3.11", PLATFORM) == exact
    assert installed(both, "3.12", PLATFORM) == WHEEL
    assert installed(Release("clay", "1", None, sdist, ()), "3.11", PLATFORM) == sdist


def test_of_builds_of_one_wheel_the_last_is_taken() -> None:
    builds = [artifact(f"clay-1-{build}py3-none-any.whl") for build in ("", "2-", "10-", "9a-")]
    exact = artifact("clay-1-1-cp311-cp311-manylinux_2_17_x86_64.whl")
    assert installed(release(*builds), "3.11", PLATFORM) == builds[2]
    assert installed(release(*builds, exact), "3.11", PLATFORM) == exact


def test_a_wheel_whose_name_is_none_is_passed_over_as_installers_do() -> None:
    odd = artifact("glaze__clay-1-py3-none-any.whl")
    assert installed(release(odd, WHEEL), "3.11", PLATFORM) == WHEEL
    assert installed(release(odd), "3.11", PLATFORM) is None


def test_an_older_glibc_has_fewer_tags_all_of_which_a_newer_one_has() -> None:
    assert set(tags("3.11", "x86_64-manylinux_2_17")) < set(tags("3.11", PLATFORM))


def test_a_name_is_read_from_an_address_with_escapes() -> None:
    assert artifact("torch-2.1.2%2Bcu121-py3-none-any.whl").name.startswith("torch-2.1.2+cu121")
