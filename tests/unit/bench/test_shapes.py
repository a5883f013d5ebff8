"""The attention calls of the models, and what each costs at least."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.probe import shapes


def test_one_step_makes_32_attention_calls() -> None:
    assert sum(shape.calls_per_step for shape in shapes.sd15()) == 32


def test_tokens_at_512_and_768_pixels() -> None:
    def tokens(side: int) -> list[int]:
        return [s.n for s in shapes.sd15(side) if "self" in s.name]

    assert tokens(512) == [4096, 1024, 256, 64]
    assert tokens(768) == [9216, 2304, 576, 144]


def test_self_attention_has_its_own_keys_and_cross_attention_the_prompt() -> None:
    for shape in shapes.sd15():
        assert shape.m == (shape.n if "self" in shape.name else 77)
        assert (shape.b, shape.h) == (2, 8)
    assert [s.d for s in shapes.sd15()] == [40, 40, 80, 80, 160, 160, 160, 160]


def test_cost_of_the_largest_call() -> None:
    largest = shapes.sd15()[0]
    assert largest.flops == 4 * 2 * 8 * 4096 * 4096 * 40 == 42_949_672_960
    assert largest.least_bytes(2) == 2 * 2 * 8 * 40 * (2 * 4096 + 2 * 4096)
    assert largest.scores == 268_435_456


def test_a_step_of_sdxl_makes_140_attention_calls_of_head_dim_64() -> None:
    sdxl = shapes.unet("sdxl", 1024)
    assert sum(shape.calls_per_step for shape in sdxl) == 140
    assert {(s.n, s.h, s.calls_per_step) for s in sdxl} == {(4096, 10, 10), (1024, 20, 60)}
    assert {s.d for s in sdxl} == {64}


@pytest.mark.parametrize(("side", "tokens"), [(512, 4096), (768, 9216), (1024, 16384)])
def test_the_vae_has_one_head_of_512_channels_and_one_image(side: int, tokens: int) -> None:
    vae = shapes.vae(side)
    assert (vae.b, vae.h, vae.n, vae.m, vae.d) == (1, 1, tokens, tokens, 512)


@pytest.mark.parametrize("images", [1, 2, 4, 8, 16])
def test_guidance_doubles_the_batch(images: int) -> None:
    assert {s.b for s in shapes.unet("sd15", 512, images)} == {2 * images}


def test_long_prompts_change_cross_attention_alone() -> None:
    usual, long = shapes.unet("sd15", 512), shapes.unet("sd15", 512, text_tokens=231)
    for one, other in zip(usual, long, strict=True):
        assert (other.m == 231) == ("cross" in one.name) == (one.name != other.name)


@given(st.sampled_from(shapes.sd15()), st.integers(1, 2**29))
def test_scaling_keeps_tokens_and_head_dim_and_says_what_it_did(
    shape: shapes.Shape, limit: int
) -> None:
    scaled = shapes.scale(shape, limit)
    assert (scaled.n, scaled.m, scaled.d) == (shape.n, shape.m, shape.d)
    assert scaled.scores <= limit or (scaled.b, scaled.h) == (1, 1)
    same = (scaled.b, scaled.h) == (shape.b, shape.h)
    assert (scaled.scaled is None) == same
    assert (scaled.name == shape.name) == same
    for name in ("b", "h"):
        was, now = getattr(shape, name), getattr(scaled, name)
        assert (f"{name} {was} -> {now}" in (scaled.scaled or "")) == (was != now)


@given(st.sampled_from([512, 768, 1024]), st.integers(1, 2**29))
def test_of_the_vae_queries_are_left_out(side: int, limit: int) -> None:
    shape = shapes.vae(side)
    scaled = shapes.scale(shape, limit)
    assert (scaled.b, scaled.h, scaled.m, scaled.d) == (1, 1, shape.m, shape.d)
    assert scaled.scores <= limit or scaled.n == 1
    assert (scaled.scaled is None) == (scaled.n == shape.n)


def test_what_needs_no_torch_imports_without_it() -> None:
    """The host reads these modules, and has no torch."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from scripts.bench.probe import attn_plan, image, memory, nvml, records, roofline\n"
        "from scripts.bench.probe.__main__ import parser\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
