"""Otava itself, from its lock, on a history of runs whose locks are in a real git repository."""

import json
from pathlib import Path

import pytest

from scripts.bench.tracking import detection, record, store
from scripts.bench.tracking.changes import Change
from scripts.lock import install
from tests.support.histories import NEW, OLD, SDP, V1, Checkout, digest, lock_texts, timed_run

DAYS = 20
BUMP = 11
"""The first day with the new lock; from it on V1 takes 5 % longer, and sdp as long as ever."""


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otava is installed anew, as it is where nobody had a history yet."""
    monkeypatch.setattr(detection, "WORKSPACE", tmp_path / "workspace")
    monkeypatch.setattr(install, "ENVIRONMENTS", tmp_path / "workspace" / "install")


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


def test_a_bump_that_changes_nothing_is_no_change_point(checkout: Checkout) -> None:
    device = history(checkout, 1.0)
    record.rewrite_changes(device, checkout.root)
    assert json.loads(device.changes.read_text()) == {"schema": 1, "changes": []}
