"""`bench -- --ab`: what goes with it, and what is asked about the cases of a stored run."""

from typing import Any

import pytest

from scripts.bench import __main__ as bench
from scripts.bench.ab import locks, run, session
from scripts.bench.ab.ask import Ask, Side, about
from scripts.bench.compare import Compared
from scripts.bench.options import parser
from scripts.bench.probe.attn_plan import Choice, jobs
from scripts.bench.probe.workloads import backends, chosen
from scripts.workspace.errors import BadInput, Failure

NOTHING = Compared(changes=(), missing=(), differences=())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Ask]]:
    """What would be measured; nothing is."""
    calls: list[tuple[str, str, Ask]] = []

    def interleave(before: Side, after: Side, ask: Ask) -> Compared:
        calls.append((before.name, after.name, ask))
        return NOTHING

    monkeypatch.setattr(run, "interleave", interleave)
    monkeypatch.setattr(locks, "side", lambda given, _: Side(given, ""))
    return calls


def ab(*arguments: str) -> int:
    return bench.main(parser().parse_args(["--ab", "A", "B", *arguments]))


def test_what_is_measured_is_what_was_chosen(asked: list[tuple[str, str, Ask]]) -> None:
    with pytest.raises(Failure, match="nothing could be measured"):
        ab("--shape", "sd15-512-self-64", "--backend", "V1", "--budget", "7", "--seed", "3")
    choice = Choice("default", ("sd15-512-self-64",), ("V1",), ())
    assert asked == [("A", "B", Ask("attn", 7.0, 3, choice))]


def test_every_suite_of_networks_can_be_asked(asked: list[tuple[str, str, Ask]]) -> None:
    with pytest.raises(Failure):
        ab("--suite", "unet,vae", "--quick")
    chosen = [(each.suite, each.choice.size) for _, _, each in asked]
    assert chosen == [("unet", "quick"), ("vae", "quick")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "image"], "knows no suite 'image'; it knows attn, unet, vae"),
        (["--suite", "vae", "--cold"], "--cold is of the suite attn"),
        (["--suite", "vae", "--shape", "sd15-512-self-64"], "vae has no shape"),
        (["--compare", "a", "b"], "measures two locks in turns: leave out --compare"),
        (["--json", "x"], "leave out --json"),
        (["--full", "--record"], "leave out --record and --full"),
        (["--shape", "nothing"], "attn has no shape 'nothing'"),
    ],
)
def test_what_does_not_go_with_two_locks_is_refused(
    asked: list[tuple[str, str, Ask]], arguments: list[str], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        ab(*arguments)
    assert asked == []


def names(ask: Ask) -> set[str]:
    return {
        f"attn/{job.shape.name}/{job.dtype}/{backend}"
        for job in jobs(ask.choice, "cpu")
        for backend in job.backends
    }


def test_every_case_of_a_default_run_can_be_asked_again() -> None:
    for case in sorted(names(Ask("attn", 1.0))):
        (ask,) = about([case], budget_s=60.0)
        assert ask.cases == {case}
        assert case in names(ask)
        assert len(names(ask)) <= 9


def test_cases_of_several_suites_share_the_budget() -> None:
    cases = ["attn/sd15-512-self-64/float32/sdp", "unet/sd15-div8-512/float32/V1"]
    asks = about(cases, budget_s=60.0, seed=4)
    assert [(ask.suite, ask.budget_s, ask.seed) for ask in asks] == [
        ("attn", 30.0, 4),
        ("unet", 30.0, 4),
    ]


def test_of_a_network_the_very_cases_are_asked_again() -> None:
    cases = [f"vae/sd15-512-x4/bfloat16/{name}" for name in ("sdp-3d@again", "sdp-efficient")]
    (ask,) = about(cases, 60.0, size="full")
    choice = ask.choice
    assert [each.key for each in chosen("vae", choice, "cuda")] == ["sd15-512-x4/bfloat16"]
    assert backends("vae", choice, "cuda") == ("sdp-3d", "sdp-efficient")


def test_cold_cases_are_asked_with_cold_caches() -> None:
    (ask,) = about(["attn/sd15-512-self-64-cold/float32/sdp"], 60.0)
    assert ask.choice.cold
    assert ask.cases <= names(ask)


@pytest.mark.parametrize("case", ["image/tiny/sdp", "attn/one/two", "nothing", "attn/x/float32/y"])
def test_a_case_that_no_probe_knows_is_refused(case: str) -> None:
    with pytest.raises(BadInput):
        about([case], 60.0)


def test_a_shape_that_is_not_known_is_refused_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def installed(*_: Any) -> None:
        raise AssertionError("something was installed")

    monkeypatch.setattr(locks, "installed", installed)
    with pytest.raises(BadInput, match="no shape"):
        session.interleave(Side("a", ""), Side("b", ""), Ask("attn", 1.0, 1, Choice(shapes=("x",))))
