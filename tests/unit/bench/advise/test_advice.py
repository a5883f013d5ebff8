"""Which option a workload's evidence speaks for, on runs whose truth is known."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scripts.bench import stats
from scripts.bench.advise import advice
from scripts.bench.advise.advice import Advice, Ratio, Weighed, advised, combined
from scripts.bench.advise.evidence import BACKENDS, Evidence, gathered
from scripts.bench.probe import shapes
from scripts.bench.schema import Comparison, Run
from tests.support import results
from tests.support.advice import ROUNDS, calls_run, comparison, gpu, measured, software, step_run

GOOD = {"sdp": 1.0, "xformers": 0.9, "sdp-no-mem": 0.95, "naive": 1.4}
CALLS = [call.name for call in shapes.unet("sd15", 512)]


def evidence(*runs: Run) -> list[Evidence]:
    (found,) = gathered(runs).values()
    return found


def only(*runs: Run) -> Advice:
    (found,) = evidence(*runs)
    return advised(found)


def test_the_fastest_of_those_that_are_faster_than_sdp_is_advised() -> None:
    found = only(step_run(GOOD))
    assert (found.option, found.decided, found.next_best) == ("xformers", True, "sdp-no-mem")


def test_where_nothing_is_faster_sdp_is_advised_by_the_evidence() -> None:
    found = only(step_run({"sdp": 1.0, "xformers": 1.05, "sdp-no-mem": 1.0}))
    assert (found.option, found.decided, found.next_best) == ("sdp", True, "sdp-no-mem")
    assert found.why == "nothing is FASTER than sdp"


def test_what_is_open_gives_the_default_and_says_so() -> None:
    found = only(step_run({"sdp": 1.0, "xformers": 0.98, "naive": 1.5}, noise=0.1))
    assert (found.option, found.decided) == ("sdp", False)
    assert found.why == "INCONCLUSIVE against sdp: xformers"


@given(st.lists(st.sampled_from([0.8, 0.9, 1.0, 1.1, 1.2]), min_size=4, max_size=4))
def test_the_advised_option_is_the_least_ratio_below_one(ratios: list[float]) -> None:
    names = ("xformers", "Doggettx", "V1", "naive")
    found = only(step_run({"sdp": 1.0, **dict(zip(names, ratios, strict=True))}))
    least = min(ratios)
    best = {BACKENDS[name] for name, ratio in zip(names, ratios, strict=True) if ratio == least}
    assert found.decided
    assert found.option in (best if least < 1 else {"sdp"})


def test_without_a_result_of_sdp_there_is_no_verdict_and_its_reason_is_told() -> None:
    case = results.case_of("unet/sd15-512/float16/sdp", suite="unet", shape={"name": "sd15-512"})
    found = only(results.run_of((case,)))
    assert (found.option, found.decided) == ("sdp", False)
    assert found.why == "no verdict against sdp: unavailable: it refuses"


def test_the_vaes_sdp_is_the_three_dimensional_one_and_what_is_no_option_is_not_advised() -> None:
    run = step_run({"sdp-3d": 1.0, "sdp-4d": 0.5, "xformers": 0.8}, suite="vae", batch=1)
    found = only(run)
    assert found.option == "xformers"
    assert found.evidence.workload.name == "sd15-512 decode"


@given(st.data())
def test_single_calls_add_up_to_a_step_by_their_number(data: st.DataObject) -> None:
    """Without noise the ratio is that of the sums, whatever each kind of call takes."""
    exact = st.integers(1_000, 10_000_000).map(float)
    times = {name: data.draw(exact) for name in CALLS}
    other = {name: {"sdp": 1.0, "xformers": data.draw(exact) / times[name]} for name in CALLS}
    run = calls_run({"": {}, **other}, times_ns=times, noise=0.0)
    (found,) = evidence(run)
    ratio = advice.against_sdp(found)["xformers"]
    median = {case.id: case.samples_ns[0] for case in run.cases}
    sums = {
        backend: sum(
            call.calls_per_step * median[f"attn/{call.name}/float16/{backend}"]
            for call in shapes.unet("sd15", 512)
        )
        for backend in ("sdp", "xformers")
    }
    assert ratio.value == pytest.approx(sums["xformers"] / sums["sdp"], rel=1e-9)
    assert ratio.low <= ratio.value * (1 + 1e-9)
    assert ratio.value <= ratio.high * (1 + 1e-9)


def test_a_gain_in_the_large_call_outweighs_losses_in_the_small_ones() -> None:
    slow = {"sdp": 1.0, "xformers": 1.3}
    found = only(calls_run({"": slow, "sd15-512-self-4096": {"sdp": 1.0, "xformers": 0.7}}))
    assert (found.option, found.decided) == ("xformers", True)


def test_a_step_of_which_a_call_is_missing_is_not_judged() -> None:
    found = only(calls_run({"": GOOD, "sd15-512-cross-64": {}}))
    assert (found.option, found.decided) == ("sdp", False)
    assert found.why == "1 of a step's 8 calls were not measured: sd15-512-cross-64"


def test_an_option_that_one_call_refuses_is_not_in_the_step() -> None:
    run = calls_run({"": GOOD, "sd15-512-self-64": {"sdp": 1.0, "naive": 1.4}})
    assert "xformers" not in advice.against_sdp(evidence(run)[0])
    assert only(run).option == "sdp"


def test_a_scaled_call_counts_as_often_as_it_was_divided() -> None:
    whole, scaled = (
        evidence(calls_run({"": GOOD}, most_scores=most))[0] for most in (2**62, 2**25)
    )
    assert whole.scaled is None
    assert scaled.scaled == "sd15-512-self-4096-b1h2"
    calls = {
        part.cases["sdp"].shape["n"]: part.calls
        for part in scaled.parts
        if part.cases["sdp"].shape["m"] > 77
    }
    assert calls == {4096: 5 * 8, 1024: 5, 256: 5}


def test_longer_prompts_and_cold_caches_are_other_workloads() -> None:
    run = calls_run({"": GOOD})
    _, longer = shapes.unet("sd15", 512, 1, 154)[:2]
    _, usual = shapes.unet("sd15", 512)[:2]
    cold = replace(usual, name=f"{usual.name}-cold")
    slow = {"sdp": 1.0, "xformers": 9.0}
    extra = [
        case
        for shape, cache in ((longer, "hot"), (cold, "cold"))
        for case in measured(
            f"attn/{shape.name}/float16",
            slow,
            1e6,
            0.001,
            shape={**shape.as_json(), "cache": cache},
        )[0]
    ]
    more = run.model_copy(update={"cases": (*run.cases, *extra)})
    assert evidence(more) == evidence(run)


def test_a_batch_in_a_network_s_name_is_the_workload_s_and_not_another_one() -> None:
    run = step_run({"sdp": 1.0, "xformers": 0.9}, name="sd15-512-x4", batch=8)
    (found,) = evidence(run)
    assert (found.workload.name, found.workload.images) == ("sd15-512", 4)


@pytest.mark.parametrize("copies", [2, 5])
@given(
    ends=st.lists(st.floats(0.8, 1.25), min_size=3, max_size=3),
    noise=st.lists(st.floats(0.93, 1.08), min_size=3, max_size=3),
)
def test_a_whole_of_equal_parts_has_the_verdict_of_one(
    copies: int, ends: list[float], noise: list[float]
) -> None:
    low, value, high = sorted(ends)
    again = comparison(sorted(noise)[1], min(noise), max(noise))
    logs = [math.log(x) for x in (value, low, high)]
    floor = stats.Estimate(*(math.log(x) for x in (again.ratio, *again.ci)))
    margin = stats.margin_with_floor(floor)
    assume(all(abs(abs(end) - margin) > 1e-9 for end in logs))
    single = stats.verdict(stats.Estimate(*logs), margin, q=0.0)
    part = Weighed(1.0, ROUNDS, comparison(value, low, high, single), again)
    assert combined([part] * copies).verdict == single


FAST = comparison(0.8, 0.79, 0.81, "FASTER")
DOUBTED = comparison(0.8, 0.79, 0.81, "INCONCLUSIVE")


def whole(*parts: tuple[float, int, Comparison]) -> Ratio:
    return combined([Weighed(time, rounds, found, None) for time, rounds, found in parts])


@given(st.integers(0, stats.LEAST_ROUNDS - 1), st.floats(0.02, 1), st.sampled_from([FAST, DOUBTED]))
def test_calls_of_too_few_rounds_make_no_step_that_is_decided(
    rounds: int, share: float, found: Comparison
) -> None:
    step = whole((share, rounds, found), (1 - share, ROUNDS, FAST))
    assert step.verdict == "INCONCLUSIVE"
    assert step.unsettled == pytest.approx(share)


def test_what_q_or_the_clock_took_from_a_call_its_step_does_not_get_back() -> None:
    assert whole((0.5, ROUNDS, FAST), (0.5, ROUNDS, FAST)).verdict == "FASTER"
    assert whole((0.5, ROUNDS, FAST), (0.5, ROUNDS, DOUBTED)).verdict == "INCONCLUSIVE"


def test_a_call_whose_interval_alone_is_wide_leaves_its_step_to_the_intervals() -> None:
    wide = comparison(1.0, 0.97, 1.03, "INCONCLUSIVE")
    assert whole((0.9, ROUNDS, FAST), (0.1, ROUNDS, wide)).verdict == "FASTER"
    assert whole((0.1, ROUNDS, FAST), (0.9, ROUNDS, wide)).verdict == "INCONCLUSIVE"


def test_a_call_below_the_margin_of_its_step_with_either_option_cannot_turn_it() -> None:
    slow = comparison(3.0, 2.9, 3.1, "INCONCLUSIVE")
    assert whole((0.995, ROUNDS, FAST), (0.005, 2, FAST)).verdict == "FASTER"
    assert whole((0.995, ROUNDS, FAST), (0.005, 2, slow)).verdict == "INCONCLUSIVE"


def test_calls_that_were_all_timed_twice_give_the_default_and_say_why() -> None:
    run = calls_run({"": GOOD})
    cut = [
        case.model_copy(update={"samples_ns": case.samples_ns[:2], "order": case.order[:2]})
        for case in run.cases
    ]
    open_ones = [each.model_copy(update={"verdict": "INCONCLUSIVE"}) for each in run.compare]
    found = only(run.model_copy(update={"cases": tuple(cut), "compare": tuple(open_ones)}))
    assert (found.option, found.decided) == ("sdp", False)
    assert "100% of the step is in calls that settle nothing (fewer than 6 rounds" in found.why


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_the_inverse_of_the_inverse_is_the_ratio(ends: list[float]) -> None:
    low, value, high = sorted(ends)
    twice = Ratio(value, low, high, "FASTER").inverse().inverse()
    assert (twice.value, twice.low, twice.high) == pytest.approx((value, low, high))
    assert twice.verdict == "FASTER"


def dated(run: Run, day: int) -> Run:
    return run.model_copy(update={"utc": f"2026-01-{day:02}T00:00:00Z", "run_id": f"day{day}"})


@given(st.permutations(range(3)))
def test_whole_networks_go_before_single_calls_and_the_newest_run_before_older_ones(
    order: list[int],
) -> None:
    runs = [
        dated(step_run(GOOD), 1),
        dated(step_run({"sdp": 1.0, "xformers": 1.1}), 2),
        dated(calls_run({"": GOOD}), 3),
    ]
    found = only(*(runs[place] for place in order))
    assert (found.evidence.suite, found.evidence.run_id, found.option) == ("unet", "day2", "sdp")


@given(st.permutations(range(2)))
def test_a_newer_glance_goes_before_no_other_run(order: list[int]) -> None:
    glance = dated(step_run({"sdp": 1.0, "xformers": 1.1}, argv=("--suite", "unet", "--quick")), 2)
    runs = [dated(step_run(GOOD, argv=("--suite", "unet")), 1), glance]
    assert only(*(runs[place] for place in order)).evidence.run_id == "day1"
    assert only(glance).evidence.run_id == "day2"


def test_a_newer_network_without_result_does_not_hide_single_calls() -> None:
    case = results.case_of(
        "unet/sd15-512/float16/sdp",
        suite="unet",
        shape={"name": "sd15-512", "batch": 2},
        status="discarded",
        reason="the run ended before this case was timed",
    )
    found = only(dated(calls_run({"": GOOD}), 1), dated(results.run_of((case,)), 2))
    assert (found.evidence.suite, found.option) == ("attn", "xformers")


@pytest.mark.parametrize(
    "changes",
    [
        {"gpu": gpu("NVIDIA L4")},
        {"sw": software("2.8.0", None)},
        {"gpu": gpu("NVIDIA L4", mig="Enabled")},
    ],
)
def test_devices_and_versions_are_told_apart(changes: dict[str, Any]) -> None:
    plain = step_run(GOOD)
    assert len(gathered([plain, plain.model_copy(update=changes)])) == 2


@given(st.lists(results.runs(), max_size=3))
def test_any_stored_run_is_advised_by(runs: list[Run]) -> None:
    for found in gathered(runs).values():
        for each in found:
            assert advised(each).option in BACKENDS.values()


@pytest.mark.parametrize(("bound", "decided"), [(ROUNDS // 2, False), (1, True)])
def test_single_calls_that_were_only_issued_settle_no_advice(bound: int, decided: bool) -> None:
    """Of networks they do: there the host's time is what one waits for."""
    run = calls_run({"": GOOD})
    cases = tuple(case.model_copy(update={"issue_bound": bound}) for case in run.cases)
    found = only(run.model_copy(update={"cases": cases}))
    assert found.decided == decided
    assert decided or "in calls that settle nothing" in found.why
    step = step_run(GOOD)
    cases = tuple(case.model_copy(update={"issue_bound": bound}) for case in step.cases)
    assert only(step.model_copy(update={"cases": cases})).option == "xformers"
