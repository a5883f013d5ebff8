"""What the suites unet and vae run: the published networks, or narrower ones that say so."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import networks
from scripts.bench.probe import __main__ as probe
from scripts.bench.probe import attn_plan, workloads
from scripts.bench.probe.attn_plan import Choice, Device, SizeName
from scripts.bench.probe.configurations import SD15, SDXL, Configuration, Published, narrowed
from scripts.bench.probe.workloads import SuiteName, Workload, backends, chosen
from scripts.bench.suite import Settings
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load

SUITES: list[SuiteName] = ["unet", "vae"]
DEVICES: tuple[Device, ...] = get_args(Device)
SIZES: tuple[SizeName, ...] = get_args(SizeName)
MODELS = [SD15, SDXL]


def heads(configuration: Configuration) -> tuple[int, ...]:
    """The heads of each level; diffusers takes one number for all."""
    given = configuration["attention_head_dim"]
    return (
        given if isinstance(given, tuple) else (given,) * len(configuration["block_out_channels"])
    )


def head_dims(configuration: Configuration) -> list[float]:
    channels = configuration["block_out_channels"]
    return [width / count for width, count in zip(channels, heads(configuration), strict=True)]


def test_the_published_head_dims_are_those_of_the_attention_suite() -> None:
    assert head_dims(SD15.unet) == [40, 80, 160, 160]
    assert head_dims(SDXL.unet) == [64, 64, 64]


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.name)
@given(divisor=st.integers(1, 20))
def test_a_narrower_unet_keeps_the_head_dims_or_is_refused(model: Published, divisor: int) -> None:
    if any(count % divisor for count in heads(model.unet)):
        with pytest.raises(ValueError, match=f"cannot be divided by {divisor}"):
            narrowed(model.unet, divisor)
        return
    narrower = narrowed(model.unet, divisor)
    assert head_dims(narrower) == head_dims(model.unet)
    assert set(narrower) == set(model.unet)


@pytest.mark.parametrize("configuration", [SD15.unet, SDXL.unet, SD15.vae, SDXL.vae])
@given(divisor=st.integers(1, 16))
def test_groups_divide_the_channels_of_a_narrower_network(
    configuration: Configuration, divisor: int
) -> None:
    """Of the sums of two levels, too: a UNet's way up concatenates what its way down kept."""
    try:
        narrower = narrowed(configuration, divisor)
    except ValueError:
        return
    assert not any(width % narrower["norm_num_groups"] for width in narrower["block_out_channels"])


@pytest.mark.parametrize("suite", SUITES)
def test_on_cuda_the_published_networks_run_at_their_own_sizes(suite: SuiteName) -> None:
    workloads = chosen(suite, Choice(), "cuda")
    assert {each.name for each in workloads} == {"sd15-512", "sd15-768", "sdxl-1024"}
    assert [each.scaled for each in workloads] == [None] * 6
    for each in workloads:
        whole = each.model.unet if suite == "unet" else each.model.vae
        assert each.configuration == whole
        assert each.published_parameters


def test_the_types_on_cuda_are_those_of_the_web_ui() -> None:
    assert {each.dtype for each in chosen("unet", Choice(), "cuda")} == {"float16", "bfloat16"}
    assert {each.dtype for each in chosen("vae", Choice(), "cuda")} == {"float16", "float32"}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("size", SIZES)
def test_what_is_scaled_for_a_cpu_says_so_in_its_name_and_how(
    suite: SuiteName, size: SizeName
) -> None:
    for each in chosen(suite, Choice(size), "cpu"):
        assert each.dtype == "float32"
        assert each.name.startswith(f"{each.model.name}-div{each.divisor}-{each.side}")
        assert each.scaled is not None
        assert f"1/{each.divisor} of the published" in each.scaled
        assert each.published_parameters is None


def test_a_smaller_image_is_named_as_such_even_with_the_published_network() -> None:
    small = Workload("unet", SD15, 128, "float32")
    assert small.scaled == "512x512 -> 128x128"
    assert small.published_parameters == 859_520_964
    assert Workload("unet", SD15, 768, "float32").scaled is None


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("choice", [*map(Choice, SIZES), Choice(shapes=("*",))], ids=str)
def test_no_two_workloads_of_a_suite_share_a_key(
    suite: SuiteName, device: Device, choice: Choice
) -> None:
    keys = [each.key for each in chosen(suite, choice, device)]
    assert keys
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("suite", SUITES)
def test_the_default_has_one_image_and_a_short_prompt(suite: SuiteName, device: Device) -> None:
    found = chosen(suite, Choice(), device)
    assert {(each.images, each.tokens) for each in found} == {(1, 77)}
    assert not set(backends(suite, Choice(), device)) & set(attn_plan.FORCED)


def test_full_has_every_size_batch_prompt_and_type_on_a_gpu() -> None:
    """Three sizes, five batches; three prompts and two types of a UNet, three types of a VAE."""
    unet, vae = (chosen(suite, Choice("full"), "cuda") for suite in SUITES)
    assert len(unet) == 3 * 5 * 3 * 2
    assert len(vae) == 3 * 5 * 3
    for found in (unet, vae):
        sizes = {(each.model.name, each.side) for each in found}
        assert sizes == {("sd15", 512), ("sd15", 768), ("sdxl", 1024)}
        assert {each.images for each in found} == {1, 2, 4, 8, 16}
    assert {each.tokens for each in unet} == {77, 154, 231}
    assert {each.tokens for each in vae} == {77}
    assert {each.dtype for each in unet} == {"float16", "bfloat16"}
    assert {each.dtype for each in vae} == {"float16", "bfloat16", "float32"}


def test_full_on_a_cpu_has_the_same_of_narrower_networks_in_float32() -> None:
    on = {device: chosen("unet", Choice("full"), device) for device in DEVICES}
    assert {each.published_name for each in on["cpu"]} == {each.name for each in on["cuda"]}
    assert {each.dtype for each in on["cpu"]} == {"float32"}


@pytest.mark.parametrize(
    ("name", "images", "tokens"),
    [("sd15-512", 1, 77), ("sd15-512-x4", 4, 77), ("sd15-512-t154", 1, 154)],
)
@pytest.mark.parametrize("size", SIZES)
def test_a_network_by_its_name_is_that_one_alone(
    name: str, images: int, tokens: int, size: SizeName
) -> None:
    for device, called in (("cuda", name), ("cpu", name.replace("sd15", "sd15-div8"))):
        choice = Choice(size, (name,), dtypes=("float16",))
        (found,) = chosen("unet", choice, device)  # type: ignore[arg-type]
        assert (found.name, found.images, found.tokens) == (called, images, tokens)
        assert chosen("unet", replace(choice, shapes=(called,)), device) == (found,)  # type: ignore[arg-type]


def test_patterns_choose_among_all_batches_and_prompts_whatever_the_size() -> None:
    found = {each.name for each in chosen("unet", Choice(shapes=("sdxl-*-t231",)), "cuda")}
    batches = ("", "-x2", "-x4", "-x8", "-x16")
    assert found == {f"sdxl-1024{batch}-t231" for batch in batches}


def test_backends_of_full_are_all_forced_kernels_too_and_the_vae_s_paths() -> None:
    unet, vae = (backends(suite, Choice("full"), "cuda") for suite in SUITES)
    assert set(unet) == {*attn_plan.WEBUI, *attn_plan.FORCED}
    assert set(vae) >= {"sdp-3d", "sdp-4d", "sdp-no-mem", "sdp-no-mem-4d", *attn_plan.FORCED}
    assert (unet[0], vae[0]) == ("sdp", "sdp-3d")


def test_chosen_backends_come_with_the_reference() -> None:
    chosen = Choice(backends=("sdp-cudnn", "sdp"))
    assert backends("unet", chosen, "cuda") == ("sdp", "sdp-cudnn")
    assert backends("vae", chosen, "cuda") == ("sdp-3d", "sdp-cudnn")
    assert backends("vae", Choice(backends=("sdp",)), "cuda") == ("sdp-3d",)


@pytest.mark.parametrize(
    ("suite", "choice", "said"),
    [
        ("unet", Choice(shapes=("sd15-513",)), "unet has no shape 'sd15-513'. Did you mean"),
        ("unet", Choice(shapes=("x",)), "Known: sd15-512, sd15-768, sdxl-1024"),
        ("vae", Choice(shapes=("sd15-512-t154",)), "vae has no shape 'sd15-512-t154'"),
        ("unet", Choice(backends=("sdp-4d",)), "unet has no backend 'sdp-4d'"),
        ("vae", Choice(backends=("V1",)), "Known: sdp-3d, sdp-4d, xformers"),
        ("vae", Choice(dtypes=("float64",)), "Known: float16, bfloat16, float32"),
    ],
)
def test_an_unknown_name_is_answered_with_those_that_are(
    suite: SuiteName, choice: Choice, said: str
) -> None:
    with pytest.raises(BadInput) as raised:
        networks.checked(suite, choice)
    assert said in str(raised.value)


def test_the_probe_is_told_what_was_chosen() -> None:
    choice = Choice("full", ("sd15-512-x4",), ("sdp-flash",), ("bfloat16",))
    told = networks.arguments("unet", Settings(1, 30, 90.0, choice=choice))
    assert probe.parser().parse_args(told).shape == ("sd15-512-x4",)
    read = probe.parser().parse_args(told)
    assert (read.size, read.backend, read.dtype) == ("full", ("sdp-flash",), ("bfloat16",))


def test_the_budget_is_the_suite_s_own_by_default_and_grows_with_what_is_chosen() -> None:
    for suite in SUITES:
        for device in DEVICES:
            assert workloads.budget_s(suite, Choice(), device, 180) == 180
    few = workloads.budget_s("unet", Choice(shapes=("sd15-512-x16",)), "cuda", 180)
    many = workloads.budget_s("unet", Choice(shapes=("sd15-*",)), "cuda", 180)
    assert few == 180 < many
    full = workloads.most_seconds("unet", Choice("full"), 180)
    assert full >= workloads.budget_s("unet", Choice("full"), "cuda", 180) > many


def test_the_default_of_attention_and_networks_on_a_gpu_is_over_in_ten_minutes() -> None:
    base = load().bench.budget_s
    networks_s = [workloads.budget_s(suite, Choice(), "cuda", base[suite]) for suite in SUITES]
    assert attn_plan.budget_s(Choice(), "cuda", base["attn"]) + sum(networks_s) <= 480


@pytest.mark.parametrize("suite", SUITES)
def test_the_cheapest_comes_first_and_the_dearest_has_most_of_the_time(suite: SuiteName) -> None:
    shares = workloads.budget_shares(chosen(suite, Choice("full"), "cuda"))
    assert list(shares) == sorted(shares)
    assert sum(shares) == pytest.approx(1)


def test_guidance_doubles_the_batch_of_a_step_and_not_of_a_decode() -> None:
    assert Workload("unet", SD15, 512, "float16").batch == 2
    assert Workload("unet", SD15, 512, "float16", images=4).batch == 8
    assert Workload("vae", SD15, 512, "float16").batch == 1
