"""The gate: which verdicts pass, what a second session decides, and what nobody can decide."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.bench import schema, stats
from scripts.bench.compare import Change, Compared
from scripts.bench.tracking import gate, run, store
from scripts.bench.tracking.gate import Interleave
from scripts.bench.tracking.locks import Webui
from scripts.bench.tracking.record import record
from scripts.workspace.errors import BadInput, CheckFailed, Failure, Inconclusive
from tests.support.histories import NEW, OLD, SDP, V1, Checkout, digest, lock_texts, timed_run
from tests.support.results import IN_HOST, case_of

UNET = "unet/x/float32/sdp"
Asked = list[tuple[Webui, Webui, frozenset[str]]]


def in_turns(slower: float, asked: Asked | None = None, rounds: int = 30) -> Interleave:
    """A session whose clock is made up: both locks in the same rounds, which drift together.

    What the lock with the new torch does takes `slower` times as long.
    """

    def interleave(before: Webui, after: Webui, cases: Collection[str]) -> Compared:
        if asked is not None:
            asked.append((before, after, frozenset(cases)))
        random = np.random.default_rng(1)
        drift = np.linspace(1, 1.02, rounds)
        pairs = {}
        for name in sorted(cases):
            times = [
                tuple(int(1e7 * each) for each in ratio * drift * random.normal(1, 0.005, rounds))
                for ratio in (1, slower if f"torch=={NEW}" in after.text else 1)
            ]
            pairs[name] = (times[0], times[1])
        found = stats.compare([stats.Pair(name, name, *both, None) for name, both in pairs.items()])
        changes = [
            Change(case_of(each.a, *pairs[each.a][0]), case_of(each.b, *pairs[each.b][1]), each)
            for each in found
        ]
        return Compared(tuple(changes), (), ())

    return interleave


def no_session(*_: Any) -> Compared:
    raise AssertionError("there is nothing to measure again")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A repository whose locks moved from one torch to another, both committed."""
    made = Checkout(tmp_path / "repository")
    made.lock(lock_texts(OLD))
    made.lock(lock_texts(NEW))
    monkeypatch.setattr(run, "BENCHMARKS", made.benchmarks)
    monkeypatch.setattr(run, "ROOT", made.root)
    return made


def old(times_ms: dict[str, float] | None = None, day: int = 0, **changes: Any) -> schema.Run:
    return timed_run(day, times_ms, OLD, **{"lock_sha256": digest(lock_texts(OLD)), **changes})


def new(times_ms: dict[str, float] | None = None, day: int = 1, **changes: Any) -> schema.Run:
    return timed_run(day, times_ms, NEW, **{"lock_sha256": digest(lock_texts(NEW)), **changes})


def judge(
    checkout: Checkout, before: schema.Run, after: schema.Run, interleave: Interleave = no_session
) -> store.Device:
    """Hold a run against another as its device's baseline, as the command does."""
    device, _ = record(before, checkout.benchmarks)
    run.judge(gate.plan(device), after, 1, interleave)
    return device


def test_a_run_that_is_no_slower_passes_and_nothing_is_written(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    device = judge(checkout, old(), new())
    assert [each.run_id for each in device.runs()] == [old().run_id]
    assert "nothing is slower than the baseline" in capsys.readouterr().err


def test_what_both_sessions_find_slower_fails_with_case_ratio_and_lock_diff(
    checkout: Checkout,
) -> None:
    with pytest.raises(CheckFailed) as raised:
        judge(checkout, old(), new({SDP: 11.5, V1: 30}), in_turns(1.15))
    assert raised.value.code == 3
    (line,) = raised.value.message.splitlines()[1:]
    name, _, rest = line.strip().partition(": ")
    assert name == SDP
    ratio = float(rest.split()[0])
    assert ratio == pytest.approx(1.15, abs=0.01)
    assert f"torch {OLD} -> {NEW}" in rest
    assert "numpy" not in rest


def test_only_what_looks_slower_is_measured_again_by_the_locks_of_both_runs(
    checkout: Checkout,
) -> None:
    asked: Asked = []
    again = f"{SDP}@again"
    with pytest.raises(CheckFailed):
        judge(
            checkout,
            old({SDP: 10, again: 10, V1: 30, UNET: 200}),
            new({SDP: 12, again: 12, V1: 30, UNET: 240}),
            in_turns(1.2, asked),
        )
    assert [cases for _, _, cases in asked] == [{SDP}, {UNET}]
    for before, after, _ in asked:
        assert (before.text, after.text) == tuple(
            lock_texts(torch)["webui-cu121-py3.11.txt"] for torch in (OLD, NEW)
        )
        assert before.where.startswith("commit ")
        assert after.where == "the checkout"


def test_what_the_second_session_does_not_find_passes_and_is_no_win(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    device = judge(checkout, old(), new({SDP: 11.5, V1: 20}), in_turns(1.0))
    said = capsys.readouterr().err
    assert f"not confirmed: {SDP}: 1.1" in said
    assert "in turns with the old lock: SAME" in said
    assert device.baseline["image"] == {"attn": old().run_id}


def unconcluded(*_: Any) -> Compared:
    return Compared((), (f"{SDP}: oom in the run after: no memory",), ())


def not_held(*_: Any) -> Compared:
    raise Failure("the lock is for Python 3.11, which is not on this machine.")


@pytest.mark.parametrize(
    ("interleave", "said"),
    [(not_held, "which is not on this machine"), (unconcluded, "oom in the run after: no memory")],
)
def test_what_no_second_session_can_tell_is_inconclusive(
    interleave: Interleave, said: str, checkout: Checkout
) -> None:
    with pytest.raises(Inconclusive, match=said) as raised:
        judge(checkout, old(), new({SDP: 12, V1: 30}), interleave)
    assert raised.value.code == 4


def test_a_baseline_of_lockfiles_that_were_never_committed_cannot_be_measured_again(
    checkout: Checkout,
) -> None:
    lost = digest(lock_texts("2.5.0"))
    before = old(lock_sha256=lost)
    with pytest.raises(Inconclusive, match=f"baseline run .{lost[:12]}. are not in git's history"):
        judge(checkout, before, new({SDP: 12, V1: 30}))


def test_a_baseline_of_the_host_has_no_lock_to_measure_again(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Inconclusive, match="in a Python of the host, which no lock describes") as e:
        judge(checkout, old(**IN_HOST), new({SDP: 12, V1: 30}, **IN_HOST))
    assert f"{SDP}: 1.2" in e.value.message
    assert capsys.readouterr().err.strip() == "bench: 1 cases look slower"


def test_the_same_packages_cannot_be_slower_than_themselves_so_what_else_differs_is_named(
    checkout: Checkout,
) -> None:
    kernel = old().host.model_copy(update={"kernel": "6.8"})
    with pytest.raises(Inconclusive, match=r"no dependency became slower.*kernel 6.1 -> 6.8"):
        judge(checkout, old(), old({SDP: 12, V1: 30}, 1, host=kernel))
    with pytest.raises(Inconclusive, match="it is the machine, or who shares it"):
        judge(checkout, old(), old({SDP: 12, V1: 30}, 1))


def test_locks_that_differ_for_other_programs_alone_are_the_same_packages(
    checkout: Checkout,
) -> None:
    texts = {**lock_texts(NEW), "dev.txt": "# newer\n"}
    checkout.lock(texts)
    with pytest.raises(Inconclusive, match="no dependency became slower"):
        judge(checkout, new(day=0), new({SDP: 12, V1: 30}, lock_sha256=digest(texts)))


def test_a_win_is_recorded_as_the_baseline_of_the_suite_that_won(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = old({SDP: 10, UNET: 200}), new({SDP: 8, UNET: 200})
    device = judge(checkout, before, after)
    assert device.baseline["image"] == {"attn": after.run_id, "unet": before.run_id}
    assert device.runs() == [before, after]
    said = capsys.readouterr().err
    assert f"1 cases of attn are faster than the baseline, {SDP} most: 0.8" in said
    assert f"runs/{after.run_id}.json" in said


def test_a_case_that_no_longer_runs_does_not_pass(checkout: Checkout) -> None:
    after = new({SDP: 10})
    gone = case_of(V1, status="oom", reason="no memory left")
    with pytest.raises(Inconclusive, match=f"{V1}: oom: no memory left"):
        judge(checkout, old(), after.model_copy(update={"cases": (*after.cases, gone)}))


def test_a_case_that_was_not_asked_for_is_no_loss(checkout: Checkout) -> None:
    judge(checkout, old(), new({SDP: 10}))


@pytest.mark.parametrize(
    ("rounds", "said"), [(1, "no case was timed twice"), (3, "every case is INCONCLUSIVE")]
)
def test_a_gate_that_has_seen_nothing_does_not_pass(
    rounds: int, said: str, checkout: Checkout
) -> None:
    cut = tuple(
        each.model_copy(
            update={"samples_ns": each.samples_ns[:rounds], "order": each.order[:rounds]}
        )
        for each in new().cases
    )
    with pytest.raises(Inconclusive, match=f"{said}.*the gate has seen nothing"):
        judge(checkout, old(), new().model_copy(update={"cases": cut}))


def test_runs_without_a_common_case_are_refused(checkout: Checkout) -> None:
    with pytest.raises(BadInput, match="have no case in common"):
        judge(checkout, old({SDP: 10}), new({V1: 30}))


def test_a_run_of_another_machine_is_refused(checkout: Checkout) -> None:
    other = old().host.model_copy(update={"cores": 4})
    with pytest.raises(BadInput, match="was measured on a-cpu-4-cores, not a-cpu-2-cores"):
        judge(checkout, old(), new(host=other))


def test_another_driver_is_refused_with_the_way_to_a_new_baseline(checkout: Checkout) -> None:
    gpu = schema.Gpu(
        name="H100",
        capability="9.0",
        uuid_hash=None,
        driver="550.54",
        power_limit=None,
        clocks_max=None,
        mig=None,
    )
    with pytest.raises(BadInput, match="driver: 550 and 580") as raised:
        judge(checkout, old(gpu=gpu), new(gpu=gpu.model_copy(update={"driver": "580.1"})))
    assert "baseline.toml" in raised.value.hint


def test_suites_without_baseline_are_answered_with_those_that_have_one(
    checkout: Checkout,
) -> None:
    device, _ = record(old(), checkout.benchmarks)
    assert list(gate.plan(device).baselines) == ["attn"]
    with pytest.raises(
        BadInput, match="no baseline of unet in the image; it has of attn in the image"
    ) as raised:
        gate.plan(device, ["attn", "unet"])
    assert "--record" in raised.value.hint
    with pytest.raises(BadInput, match="none has no baseline"):
        gate.plan(store.Device(checkout.benchmarks / "none"))


def test_a_run_is_held_against_the_baseline_of_its_place(checkout: Checkout) -> None:
    record(old(), checkout.benchmarks)
    device, _ = record(new({SDP: 10, UNET: 200}, **IN_HOST), checkout.benchmarks)
    image, host, only_there = (
        gate.plan(device),
        gate.plan(device, where="host"),
        gate.plan(device, ["unet"]),
    )
    assert (image.where, {*image.baselines}) == ("image", {"attn"})
    assert (host.where, {*host.baselines}) == ("host", {"attn", "unet"})
    assert (only_there.where, {*only_there.baselines}) == ("host", {"unet"})
    with pytest.raises(BadInput, match="no baseline of unet in the image") as raised:
        gate.plan(device, ["unet"], "image")
    assert "--in host" not in raised.value.hint


def test_a_baseline_that_stands_with_those_of_another_place_is_refused(checkout: Checkout) -> None:
    device, _ = record(old(**IN_HOST), checkout.benchmarks)
    device.baselines.write_text(store.baseline_text({"image": device.baseline["host"]}))
    with pytest.raises(BadInput, match="attn was measured in the host, and stands with") as raised:
        gate.plan(device)
    assert "[host]" in raised.value.hint


def test_a_stored_run_is_judged_by_its_own_suites(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    record(old({SDP: 10, "image/x/float32/sdp": 300}), checkout.benchmarks)
    plan = run.plan_of(new({SDP: 10, UNET: 200}), [])
    assert list(plan.baselines) == ["attn"]
    run.judge(plan, new({SDP: 10, UNET: 200}), 1, no_session)
    assert "unet of the run has no baseline, and is not judged" in capsys.readouterr().err
    with pytest.raises(BadInput, match="no baseline of unet in the image; it has of attn, image"):
        run.plan_of(new({UNET: 200}), [])


def test_a_stored_run_of_the_host_is_not_held_against_the_image(checkout: Checkout) -> None:
    record(old(), checkout.benchmarks)
    with pytest.raises(BadInput, match="no baseline of attn in the host; it has of attn in the im"):
        run.plan_of(new(**IN_HOST), [])


RATIOS = st.dictionaries(
    st.sampled_from([SDP, V1, UNET]), st.sampled_from([0.7, 0.85, 1.0, 1.15, 1.4]), min_size=1
)


@given(RATIOS, st.sampled_from([1.0, 1.2]))
@settings(max_examples=10, deadline=None)
def test_the_outcome_follows_from_the_slowest_and_from_the_second_session(
    decide: Callable[[dict[str, float], float], tuple[str, frozenset[str]]],
    ratios: dict[str, float],
    again: float,
) -> None:
    slower = {name for name, ratio in ratios.items() if ratio > 1.05}
    faster = {name.partition("/")[0] for name, ratio in ratios.items() if ratio < 0.95}
    outcome, baselines = decide(ratios, again)
    if slower and again > 1:
        assert outcome == "regression"
    else:
        assert outcome == "passed"
    assert baselines == (faster if not slower else set())


@pytest.fixture(scope="module")
def decide(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[dict[str, float], float], tuple[str, frozenset[str]]]:
    """Runs the gate on a run of these ratios; the outcome, and the suites with a new baseline."""
    made = Checkout(tmp_path_factory.mktemp("gate") / "repository")
    made.lock(lock_texts(OLD))
    made.lock(lock_texts(NEW))

    def outcome(ratios: dict[str, float], again: float) -> tuple[str, frozenset[str]]:
        before, after = (
            old({name: 100 for name in ratios}),
            new({name: 100 * ratio for name, ratio in ratios.items()}),
        )
        folder = tmp_path_factory.mktemp("benchmarks")
        device, _ = record(before, folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "BENCHMARKS", folder)
            patch.setattr(run, "ROOT", made.root)
            try:
                run.judge(gate.plan(device), after, 1, in_turns(again))
                word = "passed"
            except CheckFailed:
                word = "regression"
        new_ones = (
            suite for suite, run_id in device.baseline["image"].items() if run_id == after.run_id
        )
        return word, frozenset(new_ones)

    return outcome
