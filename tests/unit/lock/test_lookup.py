"""How pins are looked up: patience, limits, and which of them a policy wants."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lock import lookup
from scripts.lock.lookup import LookUp, NotFound, Transient, Unreachable


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "BACK_OFF_S", 0.001)


def answers(*given: object) -> "list[object]":
    return list(given)


def asked(replies: "list[object]") -> object:
    reply = replies.pop(0)
    if isinstance(reply, Exception):
        raise reply
    return reply


def test_a_server_in_trouble_is_asked_again() -> None:
    replies = answers(Transient("503"), Transient("503"), "an answer", "not asked for")
    assert lookup.patiently(lambda: asked(replies)) == "an answer"
    assert replies == ["not asked for"]


def test_patience_ends_with_the_last_reason() -> None:
    replies = answers(Transient("first"), Transient("second"), Transient("third"), "too late")
    with pytest.raises(Unreachable, match="third"):
        lookup.patiently(lambda: asked(replies))


@pytest.mark.parametrize("reply", [NotFound("no"), Unreachable("refused"), ValueError("a fault")])
def test_what_another_attempt_cannot_change_is_not_asked_again(reply: Exception) -> None:
    replies = answers(reply, "never")
    with pytest.raises(type(reply)):
        lookup.patiently(lambda: asked(replies))
    assert replies == ["never"]


def test_a_server_that_wants_minutes_is_not_waited_for() -> None:
    replies = answers(Transient("429", wait_s=300), "never")
    with pytest.raises(Unreachable, match="429"):
        lookup.patiently(lambda: asked(replies))
    assert replies == ["never"]


def test_the_pauses_double_and_heed_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(lookup, "BACK_OFF_S", 0.5)
    replies = answers(Transient("503"), Transient("503"), "an answer")
    lookup.patiently(lambda: asked(replies))
    replies = answers(Transient("429", wait_s=3), "an answer")
    lookup.patiently(lambda: asked(replies))
    assert pauses == [0.5, 1.0, 3]


def test_questions_are_asked_side_by_side() -> None:
    # Each waits for the others: asked one after the other, none would ever answer.
    together = threading.Barrier(3, timeout=30)
    questions = {name: lambda: "yes" if together.wait() >= 0 else "no" for name in "abc"}
    assert lookup.ask_all(questions) == {"a": "yes", "b": "yes", "c": "yes"}


def test_a_question_without_an_answer_does_not_take_the_others_along() -> None:
    def gone() -> str:
        raise Unreachable("gone")

    found = lookup.ask_all({"gone": gone, "here": lambda: "here"})
    assert found["here"] == "here"
    assert isinstance(found["gone"], Unreachable)


def test_a_fault_of_ours_is_raised_and_not_taken_for_silence() -> None:
    with pytest.raises(ZeroDivisionError):
        lookup.ask_all({"fault": lambda: 1 // 0})


def test_a_host_that_takes_too_long_in_all_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "LIMIT_S", 0.05)
    never = threading.Event()
    with pytest.raises(Unreachable, match="a host did not answer within"):
        lookup.within_limit(never.wait, "a host")
    never.set()


@given(names=st.none() | st.frozensets(st.sampled_from("abc")), name=st.sampled_from("abc"))
def test_a_policy_wants_what_it_names_and_everything_when_it_names_none(
    names: frozenset[str] | None, name: str
) -> None:
    assert LookUp(names).wants(name) == (names is None or name in names)


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [(429, {}, 0), (503, {"retry-after": "2"}, 2), (500, {"retry-after": "Wed, 21 Oct"}, 0)],
)
def test_a_status_that_says_try_again_is_transient(
    status: int, headers: dict[str, str], wait_s: float
) -> None:
    with pytest.raises(Transient, match=str(status)) as failure:
        lookup.require_answer(status, headers, "a host")
    assert failure.value.wait_s == wait_s


@pytest.mark.parametrize("status", [200, 302, 401, 404])
def test_any_other_status_is_an_answer(status: int) -> None:
    lookup.require_answer(status, {}, "a host")
