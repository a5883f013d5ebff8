"""What suite attn measures: every shape once, by size, device and choice."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.probe import attn_plan as plan
from scripts.bench.probe.attn_plan import Choice, Device, SizeName

DEVICES: tuple[Device, ...] = get_args(Device)
SIZES: tuple[SizeName, ...] = get_args(SizeName)
TIMED_BEFORE = {
    "quick": {
        "sd15-512-self-64",
        "sd15-512-cross-64",
        "sd15-512-self-256",
        "sd15-512-cross-256",
        "sd15-512-cross-1024-b1h8",
        "sd15-512-self-1024-b1h1",
        "sd15-512-cross-4096-b1h2",
    },
    "default": {
        *(f"sd15-512-{kind}-{n}" for kind in ("self", "cross") for n in (64, 256, 1024)),
        "sd15-512-cross-4096",
        "sd15-512-self-4096-b1h2",
    },
}
"""Shapes in the results of earlier versions on a CPU: their cases must keep their names."""


def names(size: SizeName, device: Device) -> list[str]:
    return [job.shape.name for job in plan.jobs(Choice(size), device)]


@pytest.mark.parametrize("size", ["quick", "default"])
def test_earlier_results_can_still_be_compared(size: SizeName) -> None:
    assert set(names(size, "cpu")) >= TIMED_BEFORE[size]
    backends = {name for job in plan.jobs(Choice(size), "cpu") for name in job.backends}
    assert backends >= {*plan.WEBUI, plan.AGAIN}


def test_full_has_every_batch_prompt_and_type_on_a_gpu() -> None:
    """23 calls of one image and 77 tokens; 5 batches; two longer prompts for the 10 cross calls."""
    jobs = plan.jobs(Choice("full"), "cuda")
    unet = [job for job in jobs if job.shape.model != "vae"]
    assert len(unet) == (10 + 10 * 3) * 5 * 2
    assert {job.shape.images for job in unet} == {1, 2, 4, 8, 16}
    assert {job.shape.m for job in unet if "cross" in job.shape.name} == {77, 154, 231}
    assert {job.dtype for job in unet} == {"float16", "bfloat16"}
    vae = {(job.shape.side, job.dtype) for job in jobs if job.shape.model == "vae"}
    assert vae == {(side, t) for side in (512, 768, 1024) for t in plan.DTYPES}
    assert all(job.shape.scaled is None for job in jobs)


def test_the_default_of_a_gpu_has_every_shape_of_one_image_and_forces_each_kernel() -> None:
    jobs = plan.jobs(Choice(), "cuda")
    assert {job.shape.name for job in jobs} == {
        name for name in plan.known_shapes() if name.count("-") == 3
    }
    assert all(set(plan.FORCED) <= set(job.backends) for job in jobs)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", SIZES)
def test_every_case_has_a_name_of_its_own(size: SizeName, device: Device) -> None:
    jobs = plan.jobs(Choice(size), device)
    cases = [(job.shape.name, job.dtype, name) for job in jobs for name in job.backends]
    assert len(cases) == len(set(cases))
    assert all({plan.REFERENCE, plan.AGAIN} <= set(job.backends) for job in jobs)
    assert [job.effort for job in jobs] == sorted(job.effort for job in jobs)


def test_no_two_jobs_on_a_cpu_do_the_same_work() -> None:
    jobs = plan.jobs(Choice("full"), "cpu")
    work = [(j.shape.b, j.shape.h, j.shape.n, j.shape.m, j.shape.d) for j in jobs]
    assert len(work) == len(set(work))


@given(st.sampled_from(plan.known_shapes()), st.sampled_from(DEVICES), st.sampled_from(SIZES))
def test_a_shape_by_its_name_is_that_shape_alone(name: str, device: Device, size: SizeName) -> None:
    found = {job.shape.name for job in plan.jobs(Choice(size, (name,)), device)}
    assert len(found) == 1
    assert found.pop().startswith(name)


def test_a_pattern_chooses_among_all_shapes() -> None:
    found = {job.shape.name for job in plan.jobs(Choice(shapes=("sdxl-*-x16",)), "cuda")}
    assert found == {
        f"sdxl-1024-{kind}-{n}-x16" for kind in ("self", "cross") for n in (4096, 1024)
    }
    assert plan.is_known_shape("sd15-512-self-4096-b1h2")
    assert not plan.is_known_shape("sd15-512-self-4097")


def test_chosen_backends_come_with_what_they_are_compared_with() -> None:
    (job,) = plan.jobs(Choice(shapes=("sd15-512-self-64",), backends=("V1", "naive")), "cpu")
    assert job.backends == ("sdp", "V1", "naive", "sdp@again")


def test_a_shape_that_knows_none_of_the_chosen_backends_is_left_out() -> None:
    assert plan.jobs(Choice(shapes=("vae-512-*",), backends=("V1",)), "cpu") == []


def test_chosen_types_replace_the_sizes_own() -> None:
    found = {job.dtype for job in plan.jobs(Choice(dtypes=("bfloat16",)), "cuda")}
    assert found == {"bfloat16"}


def test_cold_cases_have_names_of_their_own() -> None:
    cold = {job.shape.name for job in plan.jobs(Choice(cold=True), "cpu")}
    assert cold == {f"{name}-cold" for name in names("default", "cpu")}


@pytest.mark.parametrize("device", DEVICES)
def test_the_budget_is_shared_out_whole(device: Device) -> None:
    shares = plan.budget_shares(plan.jobs(Choice(), device), device)
    assert sum(shares) == pytest.approx(1)
    assert list(shares) == sorted(shares)
    assert min(shares) > 0.03


def test_the_budget_grows_with_the_size() -> None:
    assert plan.budget_s(Choice("default"), "cpu", 90) == 90
    assert plan.budget_s(Choice("default"), "cuda", 90) > 90
    few = plan.budget_s(Choice("full", ("vae-*",)), "cuda", 90)
    assert 90 <= few < plan.budget_s(Choice("full"), "cuda", 90)
    assert plan.most_seconds(Choice("full"), 90) == plan.budget_s(Choice("full"), "cpu", 90)
