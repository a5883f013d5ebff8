"""The suite rebuild: its groups, its definitions, and what its rows come to."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.rebuild.changes import APART, QUICK_PACKAGES, TOGETHER, changes, quick, write
from scripts.bench.rebuild.orders import OTHER, OURS, definition
from scripts.bench.rebuild.output import Build, costs, csv_text, png, table
from scripts.bench.rebuild.run import read
from scripts.build.contexts import groups
from scripts.lock.lockfile import Pin, pins
from scripts.workspace.model import load
from scripts.workspace.paths import ROOT

GROUPS = groups(load(), load().profile("sandbox"))


def unchanged(pin: Pin) -> Pin:
    return pin


def build(order: str, change: str, run: int, seconds: float, size: int = 0) -> Build:
    return Build(order, change, run, seconds, size, 1, 2)


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    for name in GROUPS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "leave-out").write_text(f"{name}/*\n")
        (tmp_path / name / "build.txt").touch()
    write(tmp_path, GROUPS)
    return tmp_path


def packages(locks: Path, group: str) -> set[str]:
    return {pin.name for pin in pins((locks / group / "packages.txt").read_text())}


def test_the_other_order_installs_in_one_step_all_that_the_web_ui_imports(locks: Path) -> None:
    one = [name for name in GROUPS if name not in APART]
    assert packages(locks, TOGETHER) == {pin.name for name in one for pin in GROUPS[name]}
    listed = (locks / TOGETHER / "leave-out").read_text().splitlines()
    assert listed == [f"{name}/*" for name in one]


def test_a_group_that_stays_keeps_its_file_and_another_is_one_that_no_build_has_seen(
    locks: Path,
) -> None:
    before = (locks / "py-torch" / "packages.txt").stat().st_mtime_ns
    fewer = {**GROUPS, "py-large": GROUPS["py-large"][1:]}
    write(locks, fewer, "never before")
    assert (locks / "py-torch" / "packages.txt").stat().st_mtime_ns == before
    assert GROUPS["py-large"][0].name not in packages(locks, "py-large")
    for group in ("py-large", TOGETHER):
        assert "# never before" in (locks / group / "packages.txt").read_text()


def test_quick_groups_are_small_and_share_no_package() -> None:
    found = quick(GROUPS)
    assert found.keys() == GROUPS.keys()
    mine = [pin.name for name, each in found.items() if name not in APART for pin in each]
    assert len(mine) == len(set(mine)) == QUICK_PACKAGES * len([n for n in found if n not in APART])
    assert sum(pin.file.size for pin in found["py-cuda"] if pin.file) < 1_000_000


def test_each_change_edits_the_context_that_it_is_of(tmp_path: Path, locks: Path) -> None:
    named = {change.name: change for change in changes(GROUPS, unchanged)}
    assert named["xformers"].context == named["RunPod SDK"].context == "locks"
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "handler.py").write_text("original\n")
    named["handler edit"].edit(tmp_path, "unseen")
    assert (tmp_path / "app" / "handler.py").read_text() == "original\n# unseen\n"


def test_the_orders_differ_in_the_dockerfile_alone() -> None:
    made: dict[str, Any] = {
        "target": {
            "image": {"contexts": {"app": "/a", "model": "/m"}, "tags": ["x"], "output": ["y"]},
            "check": {"contexts": {}},
            "source": {"context": "/s"},
        }
    }
    were = {"app": Path("/a"), "model": Path("/m"), "source": Path("/s")}
    now = {**were, "app": Path("/b"), "source": Path("/t")}
    ours, other = (definition(made, order, were, now) for order in (OURS, OTHER))
    assert ours["target"]["image"]["contexts"] == {"app": "/b", "model": "/m"}
    assert ours["target"]["source"]["context"] == "/t"
    assert other["target"]["image"].pop("context") == str(ROOT / "benchmarks" / "rebuild")
    ours["target"].pop("check")
    assert ours == other
    assert made["target"]["image"]["tags"] == ["x"]


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=5))
def test_a_cost_is_the_median_of_its_builds(seconds: list[float]) -> None:
    (found,) = costs(build(OURS, "model", number, each) for number, each in enumerate(seconds))
    assert found.runs == len(seconds)
    assert min(seconds) <= found.seconds <= max(seconds)
    assert sorted([*seconds, found.seconds])[len(seconds) // 2] == found.seconds


def test_what_was_measured_is_read_back_and_drawn(tmp_path: Path) -> None:
    builds = [build(order, change, 1, 2.5, 1000) for order in (OURS, OTHER) for change in "ab"]
    (tmp_path / "builds.csv").write_text(csv_text(builds))
    assert read(tmp_path / "builds.csv") == builds
    found = costs(builds)
    assert table(found).row_count == 2
    assert png(found, "title") == png(found, "title")
