"""Otava itself, from its lock, on a history of runs whose locks are in a real git repository."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scripts.bench.tracking import detection, record, store
from scripts.bench.tracking.changes import Change
from scripts.lock import install
from tests.support.histories import NEW, OLD, SDP, V1, Checkout, digest, lock_texts, timed_run

DAYS = 20
BUMP = 11
"""The first day with the new lock; from it on V1 takes 5 % longer, and sdp as long as ever."""


@pytest.fixture(scope="module", autouse=True)
def otava(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where Otava is installed: anew, by the first that asks, and no second time."""
    folder = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detection, "WORKSPACE", folder)
        patch.setattr(install, "ENVIRONMENTS", folder / "install")
        yield folder / detection.ENVIRONMENT


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "repository")
    made.lock(lock_texts(OLD, timm="0.9.2"))
    made.lock(lock_texts(NEW, timm="0.9.2"))
    return made


def history(checkout: Checkout, slower: float) -> store.Device:
    """Record a run a day; the lock moves on day BUMP, and V1 takes `slower` times as long."""
    for day in range(DAYS):
        torch = OLD if day < BUMP else NEW
        run = timed_run(
            day,
            {SDP: 10, V1: 30 * (slower if day >= BUMP else 1)},
            torch,
            lock_sha256=digest(lock_texts(torch, timm="0.9.2")),
        )
        device, _ = record.record(run, checkout.benchmarks)
    return device


def test_a_step_of_five_percent_is_found_and_tied_to_the_lock_that_moved(
    checkout: Checkout,
) -> None:
    device = history(checkout, 1.05)
    assert record.rewrite_changes(device, checkout.root) == [device.changes]
    content = json.loads(device.changes.read_text())
    (change,) = content["changes"]
    found = Change(**{**change, "because": tuple(change["because"])})
    assert (found.case, found.measure) == (V1, "time")
    assert (found.before, found.after) == (f"run-{BUMP - 1}", f"run-{BUMP}")
    assert found.because == (f"torch {OLD} -> {NEW}",)
    assert found.ratio == pytest.approx(1.05, abs=0.01)
    assert found.p < detection.MAX_P
    # From the same runs and the same git comes the same file, by the environment that is there.
    assert record.rewrite_changes(device, checkout.root) == []


def test_otava_is_installed_once(otava: Path) -> None:
    few = {"a": [1.0] * detection.LEAST_POINTS}
    detection.change_points(few)
    (before,) = otava.glob("*/bin/python")
    made = before.lstat().st_mtime_ns
    assert detection.change_points(few) == {"a": []}
    (after,) = otava.glob("*/bin/python")
    assert (after, after.lstat().st_mtime_ns) == (before, made)


def test_a_bump_that_changes_nothing_is_no_change_point(checkout: Checkout) -> None:
    device = history(checkout, 1.0)
    record.rewrite_changes(device, checkout.root)
    assert json.loads(device.changes.read_text()) == {"schema": 1, "changes": []}


def made_up(step: float, noise: float) -> dict[str, list[float]]:
    """A hundred histories whose runs lie apart by `noise`, with a step in the middle."""
    found = {}
    for number in range(100):
        random = np.random.default_rng([number, DAYS, int(noise * 1e4)])
        values = random.normal(1, noise, DAYS)
        values[DAYS // 2 :] *= 1 + step
        found[f"{step} {noise} {number}"] = [float(value) for value in values]
    return found


@pytest.mark.parametrize(
    ("step", "noise", "least", "most"),
    [
        (0.0, 0.005, 0, 2),
        (0.0, 0.01, 0, 2),
        (0.0, 0.02, 0, 5),
        (0.03, 0.005, 98, 100),
        (0.03, 0.01, 85, 100),
        (0.05, 0.01, 98, 100),
        (0.05, 0.02, 75, 100),
        (0.10, 0.02, 90, 100),
    ],
)
def test_steps_are_found_as_often_as_the_page_on_measuring_says(
    step: float, noise: float, least: int, most: int
) -> None:
    """Within a run of their place; where there is no step, any point is a false one."""
    points = detection.change_points(made_up(step, noise))
    near = [
        any(not step or abs(point.index - DAYS // 2) <= 1 for point in each)
        for each in points.values()
    ]
    assert least <= sum(near) <= most
