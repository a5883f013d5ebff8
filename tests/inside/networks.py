"""The networks themselves. tests/image/test_probe.py runs this in the image, which has torch."""

import importlib
from typing import Any

import pytest

from scripts.bench.probe.attn_job import Settings
from scripts.bench.probe.attn_plan import Choice
from scripts.bench.probe.configurations import SD15, SDXL
from scripts.bench.probe.workloads import SuiteName, Workload

SMALL = [
    Workload("unet", SD15, 128, "float32", divisor=8),
    Workload("unet", SDXL, 128, "float32", divisor=5),
    Workload("vae", SD15, 128, "float32", divisor=8),
]


def probe(module: str) -> Any:
    """A module of the probe that imports torch."""
    return importlib.import_module(f"scripts.bench.probe.{module}")


@pytest.mark.parametrize("suite", ["unet", "vae"])
@pytest.mark.parametrize("model", [SD15, SDXL], ids=lambda each: each.name)
def test_the_published_configuration_builds_the_published_number_of_parameters(
    suite: SuiteName, model: Any
) -> None:
    workload = Workload(suite, model, model.side, "float32")
    blank = probe("networks").blank(workload)
    assert {each.device.type for each in blank.parameters()} == {"meta"}
    found = sum(each.numel() for each in blank.parameters())
    assert found == workload.published_parameters


def test_a_network_that_is_not_the_published_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Workload, "published_parameters", 7)
    with pytest.raises(ValueError, match="the published one has 7: this version of diffusers"):
        probe("networks").Network(SMALL[0], "cpu", 1)


@pytest.mark.parametrize("workload", SMALL, ids=lambda each: f"{each.suite}-{each.name}")
def test_every_backend_agrees_with_float64_in_every_call_and_at_the_end(workload: Workload) -> None:
    torch, forward, parity = probe("timing").torch, probe("forward"), probe("parity")
    with torch.inference_mode():
        network = probe("networks").Network(workload, "cpu", 1)
        backends = forward.compared(workload.suite, Choice(), "cpu")
        found = probe("attention").survey(network, backends)
        assert set(found.refused) <= {"xformers"}
        for name in found.errors:
            output = parity.check(
                lambda name=name: network.run(backends[name]), found.output, "cpu", 2
            )
            assert forward._fault(found.errors[name], output, "float32", found.most_keys) is None
            assert output.bitwise


@pytest.mark.parametrize(
    ("workload", "calls"), list(zip(SMALL, (32, 140, 1), strict=True)), ids=("sd15", "sdxl", "vae")
)
def test_a_pass_makes_as_many_calls_of_attention_as_the_published_network(
    workload: Workload, calls: int
) -> None:
    with probe("timing").torch.inference_mode():
        network = probe("networks").Network(workload, "cpu", 1)
        found = probe("attention").survey(network, {})
    assert sum(found.calls.values()) == calls
    tokens = (workload.side // 8) ** 2
    most = max(call["n"] for call in found.calls_as_json())
    assert most == (tokens // 4 if workload.model is SDXL else tokens)


class Collector:
    """Takes the place of the probe's Emitter."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def emit(self, record: str, fields: dict[str, Any]) -> None:
        self.records.append({"record": record, **fields})

    def cases(self) -> dict[str, dict[str, Any]]:
        """The cases by their backends."""
        made = [each for each in self.records if each["record"] == "case"]
        return {case["id"].rsplit("/", 1)[-1]: case for case in made}


def measured(workload: Workload, choice: Choice, seconds: float) -> Collector:
    """What the records of a workload are in so much time."""
    forward, to, now = probe("forward"), Collector(), probe("timing").time.monotonic()
    settings = Settings(1, 2, seconds, True, choice)
    with probe("timing").torch.inference_mode():
        each = forward._WorkloadRun(workload, "cpu", settings, to, None)
        each.run(now + seconds, now + seconds)
    return to


@pytest.mark.parametrize("workload", [SMALL[0], SMALL[2]], ids=lambda each: each.suite)
def test_the_reference_is_timed_though_the_time_is_over_and_the_others_say_that_it_was(
    workload: Workload,
) -> None:
    to = measured(workload, Choice(), 0.01)
    reference, *others = probe("forward").compared(workload.suite, Choice(), "cpu")
    cases = to.cases()
    assert {cases.pop(name)["status"] for name in (reference, f"{reference}@again")} == {"ok"}
    assert set(cases) == set(others)
    assert {case["status"] for case in cases.values()} == {"discarded"}
    assert {case["reason"] for case in cases.values()} == {
        "no time was left to check this case: --budget gives more"
    }
    (only,) = [each for each in to.records if each["record"] == "round"]
    assert set(only["samples_ns"]) == {reference, f"{reference}@again"}


def test_a_survey_checks_each_backend_before_the_moment_and_none_after() -> None:
    backends = probe("backends")
    with probe("timing").torch.inference_mode():
        network = probe("networks").Network(SMALL[2], "cpu", 1)
        names = {"sdp": backends.sdp, "naive": backends.naive}
        late = probe("attention").survey(network, names, by=0.0)
        whole = probe("attention").survey(network, names)
    assert (set(late.errors), late.late) == ({"sdp"}, {"naive"})
    assert (set(whole.errors), whole.late) == ({"sdp", "naive"}, set())


@pytest.mark.parametrize("kept_bytes", [0, 2**30], ids=["computed anew", "kept"])
def test_every_backend_is_held_against_the_same_results(
    kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention, sdp = probe("attention"), probe("backends").sdp
    monkeypatch.setattr(attention, "KEPT_BYTES", kept_bytes)
    with probe("timing").torch.inference_mode():
        network = probe("networks").Network(SMALL[0], "cpu", 1)
        found = attention.survey(network, {"first": sdp, "second": sdp})
    assert found.errors["first"] == found.errors["second"] > 0
    assert sum(found.calls.values()) == 32


@pytest.mark.parametrize("workload", [SMALL[0], SMALL[2]], ids=lambda each: each.suite)
def test_a_forced_kernel_is_the_one_that_runs_or_says_why_not(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither is asked for here, and on a busy machine both take the whole time.
    monkeypatch.setattr(probe("forward").schedule, "run", lambda *_: None)
    monkeypatch.setattr(probe("forward"), "WARM_UP_SHARE", 0.0)
    choice = Choice(backends=("sdp-math", "sdp-efficient", "xformers-fa2"))
    cases = measured(workload, choice, 600).cases()
    assert "attention_math" in cases["sdp-math"]["resolved_kernel"]
    assert cases["sdp-efficient"]["status"] == "unsupported"
    assert "RuntimeError" in cases["sdp-efficient"]["reason"]
    assert cases["xformers-fa2"]["status"] in ("unavailable", "unsupported")


def test_more_images_and_a_longer_prompt_reach_the_network() -> None:
    workload = Workload("unet", SD15, 128, "float32", 8, images=2, tokens=154)
    with probe("timing").torch.inference_mode():
        network = probe("networks").Network(workload, "cpu", 1)
        found = probe("attention").survey(network, {})
    calls = found.calls_as_json()
    assert {call["b"] for call in calls} == {4}
    assert 154 in {call["m"] for call in calls}
    assert 77 not in {call["m"] for call in calls}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_backend_that_scales_wrongly_is_not_timed(dtype: str) -> None:
    """In bfloat16 the output alone would hide it."""
    torch, backends = probe("timing").torch, probe("backends")

    def wrong(q: Any, k: Any, v: Any, heads: int) -> Any:
        return backends.naive(q * 1.2, k, v, heads)

    with torch.inference_mode():
        workload = Workload("unet", SD15, 128, dtype, divisor=8)
        network = probe("networks").Network(workload, "cpu", 1)
        found = probe("attention").survey(network, {"wrong": wrong})
        output = probe("parity").check(lambda: network.run(wrong), found.output, "cpu", 1)
    fault = probe("forward")._fault(found.errors["wrong"], output, dtype, found.most_keys)
    assert "a call of attention disagrees" in str(fault)


def test_the_same_seed_gives_the_same_network_and_input() -> None:
    torch, backends = probe("timing").torch, probe("backends")
    with torch.inference_mode():
        outputs = [
            probe("networks").Network(SMALL[0], "cpu", seed).run(backends.sdp) for seed in (1, 1, 2)
        ]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_the_share_of_attention_follows_the_time_that_it_takes() -> None:
    import time

    torch, backends = probe("timing").torch, probe("backends")

    def slow(*arguments: Any) -> Any:
        time.sleep(0.1)
        return backends.sdp(*arguments)

    with torch.inference_mode():
        network = probe("networks").Network(SMALL[2], "cpu", 1)
        quick = probe("attention").share(network, backends.sdp, "cpu")
        assert 0 < quick < probe("attention").share(network, slow, "cpu") < 1


def test_the_peak_counts_what_is_held_at_once_and_not_what_was_freed() -> None:
    timing = probe("timing")
    torch = timing.torch

    def call() -> None:
        for _ in range(3):
            held = torch.zeros(1_000_000)
            del held
        both = torch.zeros(1_000_000), torch.zeros(500_000)
        del both

    assert timing.peak_bytes(call, "cpu") == pytest.approx(6_000_000, rel=0.01)
