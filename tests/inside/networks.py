"""The networks themselves. tests/image/test_probe.py runs this in the image, which has torch."""

import importlib
from typing import Any

import pytest

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
        _, backends = forward.compared(workload.suite)
        found = probe("attention").survey(network, backends)
        assert set(found.refused) <= {"xformers"}
        for name in found.errors:
            output = parity.check(
                lambda name=name: network.run(backends[name]), found.output, "cpu", 2
            )
            assert forward._fault(found.errors[name], output, "float32") is None
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
    fault = probe("forward")._fault(found.errors["wrong"], output, dtype)
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
