"""Two stored runs: when they may be compared, and what is said of their cases."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from scripts.bench import schema, table
from scripts.bench.compare import compared
from scripts.workspace.errors import BadInput
from tests.support.commands import command
from tests.support.results import IN_HOST, run_of

GPU = schema.Gpu(
    name="NVIDIA H100",
    capability="9.0",
    uuid_hash=None,
    driver="550.54.15",
    power_limit="700.00 W",
    clocks_max="1980 MHz",
    mig="Disabled",
)


def case(backend: str, ratio: float = 1.0, seed: int = 1, **fields: Any) -> schema.Case:
    """A case of 30 rounds that takes `ratio` times 10 ms, within half a percent."""
    noise = np.random.default_rng(seed).normal(0, 0.005, 30)
    samples = tuple(int(1e7 * ratio * (1 + each)) for each in noise)
    values = {
        "id": f"attn/shape/float32/{backend}",
        "suite": "attn",
        "shape": {"name": "shape"},
        "dtype": "float32",
        "requested": backend,
        "resolved_kernel": "aten::bmm",
        "status": "ok",
        "reason": None,
        "samples_ns": samples,
        "order": tuple(range(len(samples))),
    }
    return schema.Case.model_validate({**values, **fields})


def verdicts(before: schema.Run, after: schema.Run) -> dict[str, str]:
    found = compared(before, after)
    return {change.after.requested: change.found.verdict for change in found.changes}


def test_each_case_is_held_against_itself() -> None:
    before = run_of((case("sdp"), case("V1", 3.0), case("naive")))
    after = run_of((case("sdp", seed=2), case("V1", 2.7, seed=3), case("naive", 1.1, seed=4)))
    assert verdicts(before, after) == {"sdp": "SAME", "V1": "FASTER", "naive": "SLOWER"}


@pytest.mark.parametrize(("cycles", "word"), [(1.2, "SLOWER"), (1.0, "INCONCLUSIVE")])
def test_what_a_lower_clock_explains_is_no_change(cycles: float, word: str) -> None:
    """A fifth slower: in cycles, too, or with as many as before."""
    old = case("sdp")
    counted = [case("sdp", factor, seed=2).samples_ns for factor in (1.0, cycles)]
    before = old.model_copy(update={"cycles": counted[0]})
    after = case("sdp", 1.2, seed=2, cycles=counted[1])
    assert verdicts(run_of((before,)), run_of((after,))) == {"sdp": word}


def test_less_than_two_runs_can_show_is_no_change() -> None:
    found = compared(run_of((case("sdp"),)), run_of((case("sdp", 1.02, seed=2),)))
    (change,) = found.changes
    assert change.found.verdict == "SAME"
    assert change.found.ratio == pytest.approx(1.02, abs=0.005)
    assert change.found.smallest is not None
    assert 0.05 < change.found.smallest < 0.06


def test_the_noise_floor_of_either_run_widens_the_margin_of_its_shape_alone() -> None:
    other = "attn/other/float32/sdp"
    before = run_of((case("sdp"), case("sdp", id=other)))
    noisy = (case("sdp", 1.1, seed=2), case("sdp@again", 1.3, seed=3), case("sdp", 1.1, id=other))
    found = compared(before, run_of(noisy))
    given = {change.before.id: change.found.verdict for change in found.changes}
    assert given == {"attn/shape/float32/sdp": "INCONCLUSIVE", other: "SLOWER"}


def test_five_rounds_conclude_nothing() -> None:
    few = case("sdp", 2.0)
    few = few.model_copy(update={"samples_ns": few.samples_ns[:5]})
    assert verdicts(run_of((case("sdp"),)), run_of((few,))) == {"sdp": "INCONCLUSIVE"}


def test_a_case_that_one_run_did_not_time_is_named_with_the_reason() -> None:
    lost = case("xformers", status="unavailable", reason="no operator", samples_ns=())
    before = run_of((case("sdp"), case("V1"), case("xformers")))
    found = compared(before, run_of((case("sdp"), lost)))
    assert [change.after.requested for change in found.changes] == ["sdp"]
    assert found.missing == (
        "attn/shape/float32/V1: not in the run after",
        "attn/shape/float32/xformers: unavailable in the run after: no operator",
    )


def test_many_cases_that_one_run_did_not_time_are_a_line_with_the_first_few() -> None:
    lost = [case("sdp", id=f"attn/shape{number}/float32/sdp") for number in range(200)]
    refused = case("V1", status="oom", reason="no memory: 8 GB", samples_ns=(), order=())
    text = shown(run_of((case("sdp"), *lost, case("V1"))), run_of((case("sdp"), refused)))
    assert (
        "200 cases not in the run after: attn/shape0/float32/sdp, attn/shape1/float32/sdp, "
        "attn/shape2/float32/sdp, ...\n" in text
    )
    assert "shape3" not in text
    assert "attn/shape/float32/V1: oom in the run after: no memory: 8 GB\n" in text


def test_reasons_that_differ_by_the_shape_alone_share_a_line() -> None:
    said = "NotImplementedError: No operator found for `memory_efficient_attention_forward` with"
    refused = [
        case(
            "xformers",
            id=f"attn/shape{number}/float32/xformers",
            status="unavailable",
            reason=f"{said} inputs: query : shape=({number}, 4096, 2, 40)",
            samples_ns=(),
            order=(),
        )
        for number in range(9)
    ]
    runs = run_of((case("sdp"), *refused)), run_of((case("sdp"),))
    (line,) = (line for line in shown(*runs).splitlines() if "unavailable" in line)
    assert line.startswith("9 cases unavailable in the run before: NotImplementedError: No oper")


def test_a_case_that_was_timed_once_is_called_so() -> None:
    once = case("V1", samples_ns=(10**7,), order=(0,), reason="noisy: 1 of 30 rounds")
    found = compared(run_of((case("sdp"), once)), run_of((case("sdp"), case("V1"))))
    assert found.missing == ("attn/shape/float32/V1: timed once in the run before",)


def test_another_kernel_is_told_beside_the_verdict() -> None:
    after = run_of((case("sdp", resolved_kernel="aten::_flash"),))
    (change,) = compared(run_of((case("sdp"),)), after).changes
    assert change.kernel == "aten::bmm -> aten::_flash"
    assert "aten::bmm -> aten::_flash" in shown(run_of((case("sdp"),)), after)


@pytest.mark.parametrize(
    ("host", "gpu", "reason"),
    [
        ({"cpu": "another"}, GPU, "processor: a CPU and another"),
        ({"cores": 4}, GPU, "cores: 2 and 4"),
        ({}, None, "GPU: NVIDIA H100 and none"),
        ({}, GPU.model_copy(update={"name": "NVIDIA H200"}), "GPU: NVIDIA H100 and NVIDIA H200"),
        ({}, GPU.model_copy(update={"driver": "580.95.05"}), "driver: 550 and 580"),
        ({}, GPU.model_copy(update={"mig": "Enabled"}), "MIG: Disabled and Enabled"),
        ({}, GPU.model_copy(update={"power_limit": "350 W"}), "power limit: 700.00 W and 350 W"),
    ],
)
def test_runs_of_different_machines_are_refused_with_the_difference(
    host: dict[str, Any], gpu: schema.Gpu | None, reason: str
) -> None:
    before = run_of((case("sdp"),)).model_copy(update={"gpu": GPU})
    other = before.host.model_copy(update=host)
    with pytest.raises(BadInput, match=reason):
        compared(before, before.model_copy(update={"host": other, "gpu": gpu}))


def test_a_run_in_the_host_is_not_held_against_one_in_the_image() -> None:
    image = run_of((case("sdp"),))
    host = image.model_copy(update=IN_HOST)
    with pytest.raises(BadInput, match="measured: in the image and in the host"):
        compared(image, host)
    assert verdicts(host, host) == {"sdp": "SAME"}


def test_a_driver_of_the_same_branch_is_no_obstacle() -> None:
    before = run_of((case("sdp"),)).model_copy(update={"gpu": GPU})
    newer = before.model_copy(update={"gpu": GPU.model_copy(update={"driver": "550.90.07"})})
    assert verdicts(before, newer) == {"sdp": "SAME"}


def test_what_else_differs_is_listed() -> None:
    before = run_of((case("sdp"),))
    newer = before.sw.model_copy(update={"torch": "2.8.0"})
    after = before.model_copy(update={"sw": newer, "lock_sha256": "1" * 64})
    assert compared(before, after).differences == ("torch 2.1.2 -> 2.8.0", "lockfiles")
    assert "The runs differ in: torch 2.1.2 -> 2.8.0, lockfiles." in shown(before, after)


def test_a_switch_that_one_run_did_not_tell_is_no_difference() -> None:
    before = run_of((case("sdp"),))
    flags = before.flags.model_copy(update={"cudnn_tf32": True})
    assert compared(before, before.model_copy(update={"flags": flags})).differences == ()
    off = before.model_copy(update={"flags": flags.model_copy(update={"cudnn_tf32": False})})
    after = before.model_copy(update={"flags": flags})
    assert compared(off, after).differences == ("cudnn_tf32 False -> True",)


def test_runs_without_a_common_case_are_refused() -> None:
    with pytest.raises(BadInput, match="no case in common"):
        compared(run_of((case("sdp"),)), run_of((case("V1"),)))


def test_the_command_compares_two_files_and_measures_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, ratio in zip(paths, (1.0, 1.2), strict=True):
        schema.save(run_of((case("sdp", ratio),)), path)
    done = command("bench", "--compare", *map(str, paths))
    assert done.returncode == 0, done.stderr
    assert "SLOWER" in done.stdout
    done = command("bench", "--compare", str(paths[0]), str(tmp_path / "none.json"))
    assert done.returncode == 2
    assert "none.json cannot be read" in done.stderr


def shown(before: schema.Run, after: schema.Run) -> str:
    out = io.StringIO()
    table.show_changes(compared(before, after), Console(file=out, width=200))
    return out.getvalue()
