"""The constraints of the web UI's environment are explained, and the locks keep them."""

import re

import pytest
from packaging.requirements import Requirement

from scripts.lock import resolve
from scripts.lock.lockfile import locked
from scripts.workspace.model import Target, load, targets
from scripts.workspace.paths import ROOT, shown
from tests.support.constraints import FILE, Constraint, constraints

CONSTRAINTS = constraints()
WEBUI = [target for target in targets(load()) if target.environment == "webui"]


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda each: each.name)
def test_a_constraint_has_a_reason_and_a_link_right_above_it(constraint: Constraint) -> None:
    *reason, _ = constraint.comment.split("https://")[0].split("\n")
    assert len(" ".join(reason).split()) >= 10, "a reason is a sentence or two"
    assert re.search(r"^https://\S+$", constraint.comment, re.MULTILINE)


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda each: each.name)
def test_a_constraint_is_an_upper_bound(constraint: Constraint) -> None:
    within, beyond = (Requirement(line).specifier for line in (constraint.line, constraint.beyond))
    (bound,) = within
    assert bound.operator in ("<", "<=")
    assert within.contains(bound.version) is not beyond.contains(bound.version)


def test_the_clip_package_comes_from_the_registry_with_a_reason_and_a_link() -> None:
    before, _, _ = (ROOT / "requirements/webui.in").read_text().partition("\nclip-anytorch==")
    reason = before.rsplit("\n\n", 1)[1]
    assert "GitHub archive" in reason
    assert re.search(r"^# https://\S+$", reason, re.MULTILINE)


@pytest.mark.parametrize("target", WEBUI, ids=lambda each: each.name)
def test_every_lock_of_the_web_ui_keeps_the_constraints(target: Target) -> None:
    versions = {pin.name: pin.version for pin in locked(target.name)}
    assert {"setuptools", "protobuf", "huggingface-hub"} <= versions.keys()
    for constraint in CONSTRAINTS:
        if constraint.name in versions:
            assert Requirement(constraint.line).specifier.contains(versions[constraint.name])


@pytest.mark.parametrize("target", WEBUI, ids=lambda each: each.name)
def test_a_changed_constraint_makes_every_lock_of_the_web_ui_late(target: Target) -> None:
    assert shown(FILE) in resolve.job(load(), target).inputs
