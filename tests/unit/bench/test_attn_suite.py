"""Suite `attn` on the host: the probe's records become cases, whole or cut short."""

from typing import Any

import pytest

from scripts.bench import attn

SHAPE = {
    "record": "shape",
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
        "order": order,
        "samples_ns": taken,
        "host_ns": {name: 7 for name in taken},
    }


END = {
    "record": "shape_end",
    "shape": "n64",
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
