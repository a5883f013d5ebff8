"""The second session: what it is asked of the two locks."""

from collections.abc import Callable

import pytest

from scripts.bench.ab.ask import Ask, Side
from scripts.bench.ab.blocks import LEAST_PAIRS
from scripts.bench.compare import Compared
from scripts.bench.tracking import turns
from scripts.bench.tracking.locks import Webui
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load

CASES = ("attn/sd15-512-self-64/float32/V1", "attn/vae-512-self-4096/float32/sdp")
OLD = Webui("webui-cu121-py3.11", "old", "old probe", "commit c12be6c0")
NEW = Webui("webui-cu121-py3.11", "new", "", "the checkout")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Side, Side, Ask]]:
    """What the session was asked; it measures nothing here."""
    found: list[tuple[Side, Side, Ask]] = []

    def interleave(before: Side, after: Side, ask: Ask) -> Compared:
        found.append((before, after, ask))
        return Compared((), (), ())

    monkeypatch.setattr(turns, "interleave", interleave)
    return found


@pytest.mark.parametrize(
    ("budget_s", "expected"),
    [(None, lambda: LEAST_PAIRS * load().bench.budget_s["attn"]), (30.0, lambda: 30.0)],
)
def test_the_suspects_alone_are_measured_with_both_locks_as_long_as_ab_takes(
    budget_s: float | None,
    expected: Callable[[], float],
    asked: list[tuple[Side, Side, Ask]],
) -> None:
    turns.interleaved(OLD, NEW, CASES, seed=3, budget_s=budget_s, full=False)
    ((before, after, ask),) = asked
    assert (before.text, before.probe) == ("old", "old probe")
    assert (after.text, after.probe) == ("new", "")
    assert before.name == "webui-cu121-py3.11 (commit c12be6c0)"
    assert (ask.suite, ask.seed, ask.cases) == ("attn", 3, frozenset(CASES))
    assert ask.choice.size == "default"
    assert ask.budget_s == expected()


def test_the_size_of_the_run_is_that_of_the_session(asked: list[tuple[Side, Side, Ask]]) -> None:
    turns.interleaved(OLD, NEW, CASES, seed=1, budget_s=None, full=True)
    assert asked[0][2].choice.size == "full"


def test_pictures_cannot_be_measured_in_turns() -> None:
    with pytest.raises(BadInput, match="cannot be measured in turns"):
        turns.interleaved(OLD, NEW, ["image/x/sdp"], seed=1, budget_s=None, full=False)
