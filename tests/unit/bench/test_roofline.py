"""The floor of a call under given ceilings, against published figures."""

import pytest

from scripts.bench.probe import shapes
from scripts.bench.probe.roofline import Ceilings, data_sheet, floor_seconds

H100 = "NVIDIA H100 80GB HBM3"


def floor(shape: shapes.Shape) -> tuple[float, str]:
    promised = data_sheet(H100, "float16")
    assert promised is not None
    return floor_seconds(shape, 2, promised)


@pytest.mark.parametrize(
    ("model", "side", "milliseconds"),
    [("sd15", 512, 0.41), ("sd15", 768, 1.96), ("sdxl", 1024, 1.79)],
)
def test_attention_floor_of_a_step_on_an_h100(model: str, side: int, milliseconds: float) -> None:
    """The published floors of one step."""
    total = sum(each.calls_per_step * floor(each)[0] for each in shapes.unet(model, side))
    assert total * 1e3 == pytest.approx(milliseconds, abs=0.005)


def test_at_head_dim_40_the_exponentials_bind() -> None:
    """69 us for the exponentials of the 4096-token call, 43 us for its matrix products."""
    seconds, bound = floor(shapes.sd15()[0])
    assert bound == "exps"
    assert seconds * 1e6 == pytest.approx(69, abs=0.5)


def test_27_of_32_calls_of_sd15_have_a_floor_under_6_microseconds() -> None:
    short = [each for each in shapes.sd15() if floor(each)[0] < 6e-6]
    assert sum(each.calls_per_step for each in short) == 27


@pytest.mark.parametrize(
    ("ceilings", "bound"),
    [
        (Ceilings(1.0, 1e30, 1e30, ""), "flops"),
        (Ceilings(1e30, 1.0, 1e30, ""), "bytes"),
        (Ceilings(1e30, 1e30, 1.0, ""), "exps"),
    ],
)
def test_the_lowest_ceiling_binds(ceilings: Ceilings, bound: str) -> None:
    assert floor_seconds(shapes.sd15()[0], 2, ceilings)[1] == bound


def test_an_unknown_ceiling_binds_nothing() -> None:
    seconds, bound = floor_seconds(shapes.sd15()[0], 2, Ceilings(1e12, 1e30, None, ""))
    assert (seconds, bound) == (shapes.sd15()[0].flops / 1e12, "flops")


@pytest.mark.parametrize(
    ("gpu", "dtype"), [(None, "float32"), ("NVIDIA A100-SXM4-80GB", "float16"), (H100, "float32")]
)
def test_of_other_devices_and_types_no_data_sheet_is_known(gpu: str | None, dtype: str) -> None:
    assert data_sheet(gpu, dtype) is None


def test_what_is_moved_goes_by_the_bytes_of_an_item() -> None:
    call, memory = shapes.sd15()[0], Ceilings(1e30, 1e12, 1e30, "")
    b, h, n, m, d = 2, 8, 4096, 4096, 40
    for itemsize in (2, 4):
        # q and the output, k and v; each once.
        moved = itemsize * b * h * d * (2 * n + 2 * m)
        seconds, bound = floor_seconds(call, itemsize, memory)
        assert (seconds, bound) == (moved / 1e12, "bytes")
