"""A push that is dropped is tried again; one that is refused is not."""

from collections.abc import Callable

import pytest

from scripts.build import retry
from scripts.build.retry import Dropped, failure, patiently
from scripts.workspace.errors import Failure


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES_S", (0.0, 0.0, 0.0))


def dropping(times: int) -> tuple[Callable[[], str], list[int]]:
    """Return a push that is dropped so many times, and a list that grows with each attempt."""
    attempts: list[int] = []

    def push() -> str:
        attempts.append(1)
        if len(attempts) <= times:
            raise Dropped("unexpected EOF")
        return "done"

    return push, attempts


@pytest.mark.parametrize("times", range(4))
def test_a_push_passes_when_it_is_dropped_less_than_four_times(times: int) -> None:
    push, attempts = dropping(times)
    assert patiently(push, "a.io") == "done"
    assert len(attempts) == times + 1


def test_the_last_failure_names_the_registry_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    push, attempts = dropping(10)
    with pytest.raises(Failure) as failed:
        patiently(push, "a.io")
    assert len(attempts) == 4
    assert failed.value.message.startswith("a.io dropped the push 4 times")
    assert "goes on from there" in failed.value.hint
    assert capsys.readouterr().err.count("a.io dropped the push; trying again") == 3


# In the words of the HTTP client and of the push code that Docker and BuildKit share.
@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ('Head "https://a.io/v2/": dial tcp 127.0.0.1:1: connect: connection refused', True),
        ("failed to copy: unexpected EOF", True),
        ("write tcp 127.0.0.1:2->127.0.0.1:1: write: connection reset by peer", True),
        ("failed to push a.io/x:1: unexpected status: 503 Service Unavailable", True),
        ("http: server closed idle connection", True),
        ("unexpected status from PUT request to https://a.io/v2/: 429 Too Many Requests", True),
        ("push access denied, repository does not exist", False),
        ("unexpected status from HEAD request: 401 Unauthorized", False),
        ("lookup a.io on 127.0.0.1:53: no such host", False),
        ("tls: failed to verify certificate: x509: signed by unknown authority", False),
    ],
)
def test_only_what_may_pass_is_tried_again(said: str, passes: bool) -> None:
    assert isinstance(failure(said), Dropped) == passes
