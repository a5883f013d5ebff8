"""What the suites unet and vae run: the published networks, or narrower ones that say so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.probe.configurations import SD15, SDXL, Configuration, Published, narrowed
from scripts.bench.probe.workloads import SuiteName, Workload, chosen

SUITES: list[SuiteName] = ["unet", "vae"]
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
    workloads = chosen(suite, "cuda", quick=False)
    assert {each.name for each in workloads} == {"sd15-512", "sd15-768", "sdxl-1024"}
    assert [each.scaled for each in workloads] == [None] * 6
    for each in workloads:
        whole = each.model.unet if suite == "unet" else each.model.vae
        assert each.configuration == whole
        assert each.published_parameters


def test_the_types_on_cuda_are_those_of_the_web_ui() -> None:
    assert {each.dtype for each in chosen("unet", "cuda", quick=False)} == {"float16", "bfloat16"}
    assert {each.dtype for each in chosen("vae", "cuda", quick=False)} == {"float16", "float32"}


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("quick", [False, True])
def test_what_is_scaled_for_a_cpu_says_so_in_its_name_and_how(
    suite: SuiteName, quick: bool
) -> None:
    for each in chosen(suite, "cpu", quick):
        assert each.dtype == "float32"
        assert f"{each.model.name}-div{each.divisor}-{each.side}" == each.name
        assert each.scaled is not None
        assert f"1/{each.divisor} of the published" in each.scaled
        assert each.published_parameters is None


def test_a_smaller_image_is_named_as_such_even_with_the_published_network() -> None:
    small = Workload("unet", SD15, 128, "float32")
    assert small.scaled == "512x512 -> 128x128"
    assert small.published_parameters == 859_520_964
    assert Workload("unet", SD15, 768, "float32").scaled is None


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("quick", [False, True])
def test_no_two_workloads_of_a_suite_share_a_key(
    suite: SuiteName, device: str, quick: bool
) -> None:
    keys = [each.key for each in chosen(suite, device, quick)]
    assert len(set(keys)) == len(keys)


def test_guidance_doubles_the_batch_of_a_step_and_not_of_a_decode() -> None:
    assert Workload("unet", SD15, 512, "float16").batch == 2
    assert Workload("vae", SD15, 512, "float16").batch == 1
