"""Which suites `bench` runs, and that it starts nothing that they do not need."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bench import __main__ as bench
from scripts.bench import host, journal, probing, schema
from scripts.bench.options import parser
from scripts.bench.probe.attn_plan import Choice
from scripts.bench.replay import run as replay
from scripts.bench.suite import Settings, Sink
from scripts.bench.tracking import run as tracking
from scripts.workspace.errors import BadInput, CheckFailed, Failure, Inconclusive
from scripts.workspace.model import Workspace, parse
from scripts.workspace.paths import ROOT
from tests.unit.bench.test_network_suites import END, HEADER, ROUNDS, SHAPE, UNET, case


class Needed(Exception):
    """The image or the engine was asked for."""


@pytest.fixture(autouse=True)
def nothing_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> None:
        raise Needed

    monkeypatch.setattr(bench, "built", asked)
    monkeypatch.setattr(bench, "ensure", asked)


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[str], bool]]:
    calls: list[tuple[str, Sequence[str], bool]] = []

    def run(workspace: Workspace, profile: str, without: Sequence[str], *, record: bool) -> None:
        calls.append((profile, without, record))

    monkeypatch.setattr(replay, "run", run)
    return calls


def run(*arguments: str) -> int:
    return bench.main(parser().parse_args(arguments))


def test_replay_needs_neither_image_nor_engine(
    replayed: list[tuple[str, Sequence[str], bool]],
) -> None:
    assert run("--suite", "replay", "--profile", "runpod", "--without", "A_b", "--record") == 0
    assert replayed == [("runpod", ["a-b"], True)]


def test_other_suites_need_the_image_and_do_not_replay(
    replayed: list[tuple[str, Sequence[str], bool]],
) -> None:
    with pytest.raises(Needed):
        run("--suite", "attn")
    with pytest.raises(Needed):
        run()
    assert replayed == []


def test_options_of_replay_without_it_are_refused() -> None:
    with pytest.raises(BadInput, match="of the suite replay"):
        run("--suite", "attn", "--without", "a")


@pytest.mark.parametrize("name", ["a==1", "a[b]", "a,b", ""])
def test_what_is_left_out_is_named_without_a_version(name: str) -> None:
    with pytest.raises(BadInput, match="is no name of a package"):
        parser().parse_args(["--without", name])


@pytest.mark.parametrize("given", ["x", "0", "-1", "inf", "nan"])
def test_a_budget_is_a_positive_number_of_seconds(given: str) -> None:
    with pytest.raises(BadInput, match=r"is no (positive )?number of seconds"):
        parser().parse_args([f"--budget={given}"])


def test_an_unknown_suite_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="Did you mean replay"):
        run("--suite", "replai")


@pytest.mark.parametrize("name", ["replai", "x"])
def test_an_unknown_suite_is_answered_with_the_list(name: str) -> None:
    with pytest.raises(BadInput, match="Known: attn, unet, vae, image, replay, rebuild, verdicts"):
        run("--suite", name)


def test_an_unknown_profile_is_refused_before_anything_is_asked(
    replayed: list[tuple[str, Sequence[str], bool]],
) -> None:
    with pytest.raises(BadInput, match="Did you mean runpod"):
        run("--suite", "replay", "--profile", "runpot")
    assert replayed == []


def test_replay_may_stand_among_the_suites_of_every_run_and_has_no_seconds() -> None:
    text = (ROOT / "workspace.toml").read_text()
    changed = text.replace('suites = ["attn"', 'suites = ["replay", "attn"')
    assert parse(changed, "workspace.toml").bench.suites[0] == "replay"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--suite", "image", "--in", "host"), "suite image does not run with --in host"),
        (("--python", "python3"), "--python is of --in host"),
        (("--quick", "--full"), "exclude each other"),
        (("--suite", "replay", "--full"), "--full is of the suites attn, unet"),
        (("--suite", "attn", "--backend", "sdq"), "no backend 'sdq'"),
        (("--suite", "attn", "--quick", "--record"), "--quick is a glance"),
        (("--gate", "--quick"), "--gate does not go with --quick"),
        (("--gate", "--record"), "--gate does not go with --record"),
        (("--history", "--gate"), "--history measures nothing: leave out --gate"),
        (("--history", "--suite", "attn"), "--history measures nothing: leave out --suite"),
        (("--history", "mars"), "no run of mars is recorded"),
        (("--of", "a.json", "--record", "--budget", "9"), "--of measures nothing: leave out --bud"),
        (("--in", "host", "--python", "/nowhere/python3"), "there is no Python /nowhere/python3"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_asked(
    arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        run(*arguments)


def test_in_the_host_the_suites_that_run_there_are_measured_without_an_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the image nor the engine is asked for (nothing_built would raise Needed)."""
    monkeypatch.setattr(host, "interpreter", lambda given: Path(given))
    monkeypatch.setattr(probing, "in_host", lambda python: python)
    asked: list[tuple[object, Settings]] = []
    monkeypatch.setitem(
        bench.IN_HOST, "attn", lambda probe, settings, into: asked.append((probe, settings))
    )
    with pytest.raises(Failure, match="nothing could be measured"):
        run("--in", "host", "--python", "/some/python", "--full", "--dtype", "float32")
    ((probe, settings),) = asked
    assert probe == Path("/some/python")
    assert settings.choice == Choice("full", dtypes=("float32",))
    assert not settings.exact


@pytest.fixture
def disagreeing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Suite unet in the host times three cases, and a fourth does not agree with float64."""
    wrong = case("V1", status="discarded", reason="disagrees with float64", disagrees=True)

    def measure(_probe: object, _settings: Settings, into: Sink) -> None:
        for record in [HEADER, SHAPE, *(case(name) for name in UNET), wrong, *ROUNDS, END]:
            into.append(record)

    monkeypatch.setattr(host, "interpreter", lambda given: Path(given))
    monkeypatch.setattr(probing, "in_host", lambda python: python)
    monkeypatch.setattr(bench, "BENCH", tmp_path)
    monkeypatch.setattr(journal, "BENCH", tmp_path)
    monkeypatch.setitem(bench.IN_HOST, "unet", measure)


@pytest.mark.usefixtures("disagreeing")
def test_a_case_that_disagrees_fails_the_run_after_the_others_are_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[schema.Run] = []
    monkeypatch.setattr(tracking, "keep", kept.append)
    with pytest.raises(CheckFailed, match="V1: disagrees with float64"):
        run("--in", "host", "--python", "/some/python", "--suite", "unet", "--record")
    (only,) = kept
    assert [each.status for each in only.cases] == ["ok", "ok", "ok", "discarded"]


@pytest.mark.usefixtures("disagreeing")
def test_a_case_that_disagrees_fails_the_run_whatever_the_gate_finds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def judge(*_: object) -> None:
        raise Inconclusive("nobody knows")

    plan = SimpleNamespace(baselines={"unet": None}, where="host")
    monkeypatch.setattr(tracking, "plan", lambda *_: plan)
    monkeypatch.setattr(tracking, "judge", judge)
    with pytest.raises(CheckFailed, match="V1: disagrees with float64"):
        run("--in", "host", "--python", "/some/python", "--suite", "unet", "--gate")
    assert "bench: nobody knows" in capsys.readouterr().err
