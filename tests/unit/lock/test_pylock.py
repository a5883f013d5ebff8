"""A pylock.toml holds the files of the lock, whatever else the registry shows."""

import pytest
import tomli

from scripts.lock.lockfile import Pin
from scripts.lock.pylock import held
from scripts.workspace.errors import CheckFailed

TEXT = """\
lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "clay"
version = "1.0"
sdist = { url = "https://a/clay-1.0.tar.gz", hashes = { sha256 = "11" } }
wheels = [
    { url = "https://a/clay-1.0-py2-none-any.whl", hashes = { sha256 = "22" } },
    { url = "https://a/clay-1.0-py3-none-any.whl", hashes = { sha256 = "33" } },
]
"""


def pin(*hashes: str) -> Pin:
    return Pin("clay", "1.0", "clay==1.0", tuple(f"sha256:{each}" for each in hashes))


def test_where_the_lock_holds_every_file_the_text_is_uv_s_own() -> None:
    assert held(TEXT, [pin("11", "22", "33")], "app") == TEXT


@pytest.mark.parametrize(
    ("hashes", "left"),
    [
        (("33",), ["clay-1.0-py3-none-any.whl"]),
        (("11",), ["clay-1.0.tar.gz"]),
        (("11", "22"), ["clay-1.0-py2-none-any.whl", "clay-1.0.tar.gz"]),
    ],
)
def test_files_that_the_lock_does_not_hold_are_left_out(
    hashes: tuple[str, ...], left: list[str]
) -> None:
    (package,) = tomli.loads(held(TEXT, [pin(*hashes)], "app"))["packages"]
    files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
    assert [each["url"].rpartition("/")[2] for each in files] == left


def test_a_package_of_which_no_file_is_the_lock_s_is_refused() -> None:
    with pytest.raises(CheckFailed, match=r"app: the registry has no file of clay 1\.0 whose hash"):
        held(TEXT, [pin("44")], "app")


def test_each_of_several_versions_has_its_own_hashes() -> None:
    second = TEXT.partition("[[packages]]")[2].replace("1.0", "2.0").replace('"33"', '"55"')
    both = f"{TEXT}\n[[packages]]{second}"
    later = Pin("clay", "2.0", "clay==2.0", ("sha256:11", "sha256:22", "sha256:55"))
    assert held(both, [pin("11", "22", "33"), later], "app") == both
