"""The attention calls of SD1.5 and the formulas of their cost, against published figures."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.probe import shapes

H100 = "NVIDIA H100 80GB HBM3"


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


@pytest.mark.parametrize(("side", "milliseconds"), [(512, 0.41), (768, 1.96)])
def test_attention_floor_of_a_step_on_an_h100(side: int, milliseconds: float) -> None:
    """The published floors of one step: 0.41 ms at 512x512, 1.96 ms at 768x768."""
    total = 0.0
    for shape in shapes.sd15(side):
        floor = shapes.floor_seconds(shape, 2, H100)
        assert floor is not None
        total += shape.calls_per_step * floor[0]
    assert total * 1e3 == pytest.approx(milliseconds, abs=0.005)


def test_at_head_dim_40_the_exponentials_bind() -> None:
    """69 us for the exponentials of the 4096-token call, 43 us for its matrix products."""
    floor = shapes.floor_seconds(shapes.sd15()[0], 2, H100)
    assert floor is not None
    assert floor[1] == "exps"
    assert floor[0] * 1e6 == pytest.approx(69, abs=0.5)


@pytest.mark.parametrize(("gpu", "itemsize"), [(None, 4), ("NVIDIA A100-SXM4-80GB", 2), (H100, 4)])
def test_no_floor_without_a_known_ceiling(gpu: str | None, itemsize: int) -> None:
    assert shapes.floor_seconds(shapes.sd15()[0], itemsize, gpu) is None


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


def test_on_a_cpu_only_the_largest_call_is_scaled_and_none_is_left_out() -> None:
    chosen = shapes.chosen("cpu", quick=False)
    assert len(chosen) == 8
    assert [s.name for s in chosen if s.scaled] == ["sd15-512-self-4096-b1h2"]
    assert chosen == tuple(sorted(chosen, key=lambda s: (s.scores, s.n)))


def test_on_cuda_nothing_is_scaled() -> None:
    assert sorted(s.name for s in shapes.chosen("cuda", quick=False)) == sorted(
        s.name for s in shapes.sd15()
    )
    assert max(s.n for s in shapes.chosen("cuda", quick=True)) == 1024


def test_the_budget_is_shared_out_whole() -> None:
    shares = shapes.budget_shares(shapes.chosen("cpu", quick=False))
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares)
    assert min(shares) > 0.03


def test_what_needs_no_torch_imports_without_it() -> None:
    """The host reads these modules, and has no torch."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from scripts.bench.probe import image, records, rounds, shapes\n"
        "from scripts.bench.probe.__main__ import parser\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
