"""Suite `attn` on the host: the probe's records become cases, whole or cut short."""

from typing import Any

import pytest

from scripts.bench import attn
from scripts.bench.probe.attn_plan import Choice
from scripts.bench.suite import RawRecord, Settings
from scripts.workspace.errors import BadInput, Failure

SHAPE = {
    "record": "shape",
    "dtype": "float32",
    **{"name": "n64", "b": 2, "h": 8, "n": 64, "m": 64, "d": 160},
    **{"calls_per_step": 1, "scaled": None, "cache": "hot", "calls_per_sample": 9},
}
COSTS = {"flops": 10, "bytes": 20, "exps": 30, "floor_ns": None, "bound": None}


def case(backend: str, status: str = "ok", **fields: Any) -> dict[str, Any]:
    return {
        "record": "case",
        "id": f"attn/n64/float32/{backend}",
        "shape": "n64",
        "dtype": "float32",
        "requested": backend.removesuffix("@again"),
        "status": status,
        "reason": None,
        "warm": True,
        "resolved_kernel": "aten::bmm",
        "rel_l2": 3e-7,
        "bitwise": True,
        **COSTS,
        **fields,
    }


def timed(index: int) -> dict[str, Any]:
    names = ["sdp", "V1", "sdp@again"]
    order = names[index % 3 :] + names[: index % 3]
    wobble = 1000 + 3 * (index % 5)
    taken = {"sdp": wobble, "V1": 2 * wobble, "sdp@again": wobble}
    return {
        "record": "round",
        "shape": "n64",
        "dtype": "float32",
        "nvml": {},
        "discarded": None,
        "order": order,
        "samples_ns": taken,
        "host_ns": {name: 7 for name in taken},
    }


END = {
    "record": "shape_end",
    "shape": "n64",
    "dtype": "float32",
    "outside_share": 0.004,
    "rounds": 20,
    "reasons": {"sdp": None, "V1": "noisy: ratio known to ±3%", "sdp@again": None},
}
ADMITTED = [case("sdp"), case("V1"), case("sdp@again")]
MISSING = case("xformers", "unavailable", reason="NotImplementedError: no operator on cpu")


def test_rounds_become_cases_with_their_samples_and_places() -> None:
    records = [*ADMITTED, MISSING, SHAPE, *(timed(i) for i in range(20)), END]
    measured = attn.evaluate(records, seed=1)
    by_name = {c.id.rsplit("/", 1)[-1]: c for c in measured.cases}
    assert len(by_name["V1"].samples_ns) == 20
    assert by_name["V1"].order[:3] == (1, 0, 2)
    assert by_name["V1"].host_ns == (7,) * 20
    assert by_name["V1"].shape["calls_per_sample"] == 9
    assert by_name["V1"].reason == "noisy: ratio known to ±3%"
    assert by_name["sdp"].reason is None
    assert (by_name["V1"].flops, by_name["V1"].bytes, by_name["V1"].exps) == (10, 20, 30)


def test_every_backend_is_compared_with_sdp() -> None:
    records = [*ADMITTED, MISSING, SHAPE, *(timed(i) for i in range(20)), END]
    found = {c.b.rsplit("/", 1)[-1]: c for c in attn.evaluate(records, seed=1).compare}
    assert set(found) == {"V1", "sdp@again"}
    assert found["V1"].ratio == pytest.approx(2)
    assert found["V1"].verdict == "SLOWER"
    assert found["sdp@again"].verdict == "SAME"


def test_an_unavailable_backend_keeps_its_reason_and_has_no_samples() -> None:
    measured = attn.evaluate([MISSING, SHAPE], seed=1)
    only = measured.cases[0]
    assert (only.status, only.samples_ns) == ("unavailable", ())
    assert only.reason == "NotImplementedError: no operator on cpu"
    assert measured.disagreements == []


@pytest.mark.parametrize("error", [0.5, float("inf"), float("nan")])
def test_a_backend_that_disagrees_is_discarded_and_reported(error: float) -> None:
    wrong = case("V1", "discarded", reason="disagrees with float64", rel_l2=error)
    measured = attn.evaluate([case("sdp"), wrong, SHAPE], seed=1)
    assert measured.disagreements == ["attn/n64/float32/V1: disagrees with float64"]
    assert measured.cases[1].rel_l2 in (0.5, None)


def test_a_run_that_was_killed_keeps_its_rounds() -> None:
    records = [*ADMITTED, SHAPE, *(timed(i) for i in range(8))]
    measured = attn.evaluate(records, seed=1)
    assert [len(c.samples_ns) for c in measured.cases] == [8, 8, 8]
    assert all("ended after 8 rounds" in (c.reason or "") for c in measured.cases)
    assert measured.compare


def test_a_case_that_was_never_timed_is_not_ok() -> None:
    """Killed during warm-up: not even the shape's record is there."""
    measured = attn.evaluate([case("sdp")], seed=1)
    assert measured.cases[0].status == "discarded"
    assert "before this case was timed" in (measured.cases[0].reason or "")
    assert measured.disagreements == []


def test_nothing_measured_is_nothing() -> None:
    measured = attn.evaluate([], seed=1)
    assert (measured.header, measured.cases, measured.compare) == (None, [], [])


def test_a_known_floor_is_given_as_part_of_the_median() -> None:
    limited = case("sdp", floor_ns=500.0, bound="exps")
    measured = attn.evaluate([limited, SHAPE, *(timed(i) for i in range(20)), END], seed=1)
    assert measured.cases[0].pct_floor == pytest.approx(50, rel=0.02)
    assert measured.cases[0].bound == "exps"


def test_a_case_that_did_not_warm_up_says_so() -> None:
    cold = case("sdp", warm=False)
    measured = attn.evaluate([cold, SHAPE, *(timed(i) for i in range(20)), END], seed=1)
    assert measured.cases[0].reason == "warm-up unsettled"


def gpu_round(index: int, discarded: str | None = None, **seen: int) -> dict[str, Any]:
    nvml = {"sm_mhz": 7, "energy_mj": 12, **seen}
    clocks = {"sdp": 1980, "V1": 1950, "sdp@again": 1980}
    return {**timed(index), "sm_mhz": clocks, "nvml": nvml, "discarded": discarded}


def of(records: list[RawRecord], backend: str) -> Any:
    by_name = {c.id.rsplit("/", 1)[-1]: c for c in attn.evaluate(records, seed=1).cases}
    return by_name[backend]


def test_a_discarded_round_is_kept_apart_and_marked() -> None:
    rounds = [gpu_round(i, "hw thermal slowdown" if i == 3 else None) for i in range(20)]
    found = of([*ADMITTED, SHAPE, *rounds, END], "sdp")
    assert len(found.samples_ns) == len(found.order) == len(found.nvml) == 19
    assert [(d.round, d.reason) for d in found.discarded] == [(3, "hw thermal slowdown")]
    assert found.discarded[0].sample_ns == rounds[3]["samples_ns"]["sdp"]
    assert "1 rounds discarded" in found.reason


def test_a_case_with_every_round_discarded_has_no_result() -> None:
    rounds = [gpu_round(i, "hw power brake") for i in range(4)]
    found = of([*ADMITTED, SHAPE, *rounds, {**END, "reasons": {}}], "sdp")
    assert (found.status, found.samples_ns) == ("discarded", ())
    assert found.reason == "all 4 rounds discarded: hw power brake"
    assert attn.evaluate([*ADMITTED, SHAPE, *rounds], seed=1).disagreements == []


def test_a_power_cap_is_noted_and_counts() -> None:
    rounds = [gpu_round(i, sw_power_cap_ns=5 if i < 2 else 0) for i in range(20)]
    for each in rounds[2:]:
        del each["nvml"]["sw_power_cap_ns"]
    found = of([*ADMITTED, SHAPE, *rounds, END], "sdp")
    assert len(found.samples_ns) == 20
    assert found.reason == "power cap in 2 rounds"


def test_others_on_the_gpu_are_noted_and_count() -> None:
    rounds = [gpu_round(i, other_processes=1) for i in range(20)]
    found = of([*ADMITTED, SHAPE, *rounds, END], "sdp")
    assert len(found.samples_ns) == 20
    assert found.reason == "others used the GPU in 20 rounds"


def test_cycles_are_time_by_the_clock_around_the_sample() -> None:
    for backend, mhz in (("sdp", 1980), ("V1", 1950)):
        found = of([*ADMITTED, SHAPE, *(gpu_round(i) for i in range(20)), END], backend)
        assert found.cycles == tuple(ns * mhz // 1000 for ns in found.samples_ns)
    assert of([*ADMITTED, SHAPE, *(timed(i) for i in range(20)), END], "sdp").cycles == ()


def test_out_of_memory_in_a_round_ends_that_case_only() -> None:
    late = {**timed(9), "order": ["sdp", "sdp@again"]}
    late["samples_ns"] = {k: v for k, v in late["samples_ns"].items() if k != "V1"}
    oom = {
        **{"record": "case_end", "shape": "n64", "dtype": "float32", "backend": "V1"},
        **{"status": "oom", "reason": "OutOfMemoryError: CUDA out of memory."},
    }
    records = [*ADMITTED, SHAPE, *(timed(i) for i in range(9)), oom, late, END]
    ended = of(records, "V1")
    assert (ended.status, len(ended.samples_ns)) == ("oom", 9)
    assert ended.reason == "after 9 rounds: OutOfMemoryError: CUDA out of memory."
    assert len(of(records, "sdp").samples_ns) == 10
    compared = {c.b.rsplit("/", 1)[-1] for c in attn.evaluate(records, seed=1).compare}
    assert compared == {"sdp@again"}


def test_two_types_of_one_shape_are_compared_each_by_itself() -> None:
    def half(record: RawRecord) -> RawRecord:
        renamed = record.get("id", "").replace("float32", "float16")
        return {**record, "dtype": "float16"} | ({"id": renamed} if renamed else {})

    records = [*ADMITTED, SHAPE, *(timed(i) for i in range(20)), END]
    both = attn.evaluate([*records, *map(half, records)], seed=1)
    assert len(both.cases) == 6
    assert {(c.a.split("/")[2], c.b.split("/")[2]) for c in both.compare} == {
        ("float32", "float32"),
        ("float16", "float16"),
    }


def test_ceilings_and_notes_reach_the_result() -> None:
    header = {"record": "header", "notes": ["the GPU is in use by 2 other processes"]}
    ceilings = {"dtype": "float16", "flops": 7e14, "bytes": 3e12, "exps": None, "source": "m"}
    measured = attn.evaluate([header, {"record": "ceilings", **ceilings}], seed=1)
    assert measured.notes == ["the GPU is in use by 2 other processes"]
    assert [each.model_dump() for each in measured.ceilings] == [ceilings]


def test_the_share_of_time_outside_the_calls_is_told() -> None:
    found = of([*ADMITTED, SHAPE, *(timed(i) for i in range(20)), END], "V1")
    assert found.shape["outside_share"] == 0.004


def test_a_probe_that_ends_early_is_a_failure_and_keeps_its_records() -> None:
    def killed(arguments: Any, _limit: float, code: dict[str, int]) -> Any:
        assert arguments[0] == "attn"
        yield {"record": "header"}
        code["exit"] = 137

    kept: list[RawRecord] = []
    with pytest.raises(Failure, match="lack of memory"):
        attn.measure(killed, Settings(1, 6, 10.0), kept)
    assert kept == [{"record": "header"}]


def test_what_the_probe_runs_in_is_removed_when_measuring_stops() -> None:
    """As after Ctrl-C, while the results so far are written."""
    removed = []

    def interrupted(_arguments: Any, _limit: float, _code: dict[str, int]) -> Any:
        try:
            yield {"record": "header"}
        finally:
            removed.append(True)

    class Interrupting(list[RawRecord]):
        def append(self, record: RawRecord) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        attn.measure(interrupted, Settings(1, 6, 10.0), Interrupting())
    assert stopped.traceback and removed == [True]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(shapes=("sd15-512-self-409",)), "Did you mean sd15-512-self-4096"),
        (Choice(shapes=("sd16-*",)), "Known: sd15-512-self-4096, "),
        (Choice(backends=("sdp", "sdp-flas")), "Did you mean sdp-flash. Known: sdp, "),
        (Choice(shapes=("vae-*",), backends=("V1",)), "none of the chosen shapes knows"),
        (Choice(dtypes=("float15",)), "Did you mean float16. Known: float16, bfloat16, float32"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_and_the_list(
    choice: Choice, said: str
) -> None:
    with pytest.raises(BadInput) as refused:
        attn.checked(choice)
    assert said.replace("16. K", "16? K").replace("flash. K", "flash? K") in refused.value.message
