"""The records of many processes: rounds that belong together, and one run for each side."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.ab.results import AFTER, BEFORE, Streams, blocks, merged
from scripts.bench.suite import RawRecord

HEADER: RawRecord = {"record": "header", "suite": "attn"}
CASE = "attn/n64/float32/sdp"


def round_of(*samples: int, discarded: str | None = None, **nvml: int) -> RawRecord:
    """A round of one backend or two."""
    names = ("sdp", "V1")[: len(samples)]
    return {
        "record": "round",
        "shape": "n64",
        "dtype": "float32",
        "order": list(names),
        "samples_ns": dict(zip(names, samples, strict=True)),
        "nvml": nvml,
        "discarded": discarded,
    }


def streams(before: list[list[RawRecord]], after: list[list[RawRecord]]) -> Streams:
    return {
        BEFORE: [[HEADER, *records] for records in before],
        AFTER: [[HEADER, *records] for records in after],
    }


def times(found: Any) -> list[list[tuple[int, int]]]:
    return [[(old[0], new[0]) for old, new in block.rounds] for block in found]


@given(st.lists(st.lists(st.tuples(*[st.integers(1, 10**9)] * 2), min_size=1), max_size=8))
def test_rounds_belong_together_by_their_pair_and_place(
    pairs: list[list[tuple[int, int]]],
) -> None:
    found = blocks(
        streams(
            [[round_of(old) for old, _ in pair] for pair in pairs],
            [[round_of(new) for _, new in pair] for pair in pairs],
        )
    )
    assert times(found.get(CASE, [])) == pairs


def test_a_round_that_either_side_discards_counts_for_neither() -> None:
    before = [round_of(1), round_of(2, discarded="heat"), round_of(3)]
    after = [round_of(11), round_of(12), round_of(13, discarded="heat")]
    assert times(blocks(streams([before], [after]))[CASE]) == [[(1, 11)]]


def test_a_case_that_one_side_lost_has_the_rounds_before() -> None:
    before = [round_of(1, 2), round_of(1, 2)]
    after = [round_of(1, 2), round_of(1)]
    found = blocks(streams([before], [after]))
    assert times(found["attn/n64/float32/V1"]) == [[(2, 2)]]
    assert times(found[CASE]) == [[(1, 1), (1, 1)]]


def test_a_round_that_was_not_answered_is_left_out() -> None:
    """A process ended in the middle of the last round."""
    found = blocks(streams([[round_of(1), round_of(2)]], [[round_of(3)]]))
    assert times(found[CASE]) == [[(1, 3)]]


def test_cycles_are_the_time_by_the_clock_around_it() -> None:
    """Of its sample, whatever that of the whole round was."""
    before = {**round_of(2000, 2000, sm_mhz=7), "sm_mhz": {"sdp": 1500, "V1": 9}}
    after = {**round_of(3000, 3000, sm_mhz=7), "sm_mhz": {"sdp": 1000, "V1": 9}}
    found = blocks(streams([[before]], [[after]]))
    assert found[CASE][0].rounds == (((2000, 3000), (3000, 3000)),)


def case(status: str, reason: str | None = None) -> RawRecord:
    return {"record": "case", "id": CASE, "shape": "n64", "status": status, "reason": reason}


def test_a_case_that_fails_in_one_process_has_failed() -> None:
    fine, bad = case("ok"), case("oom", "no memory")
    for order in ([fine, bad, fine], [bad, fine, fine]):
        records = merged([[HEADER, each, round_of(1)] for each in order])
        assert [r for r in records if r["record"] == "case"] == [bad]
        assert [r for r in records if r["record"] == "header"] == [HEADER]
        assert len([r for r in records if r["record"] == "round"]) == 3


def test_that_the_rounds_were_ended_is_no_reason_to_call_a_case_noisy() -> None:
    end = {
        "record": "shape_end",
        "shape": "n64",
        "dtype": "float32",
        "reasons": {"sdp": "noisy"},
        "outside_share": 0.1,
    }
    found = [r for r in merged([[HEADER, end], [HEADER, end]]) if r["record"] == "shape_end"]
    assert found == [{**end, "reasons": {}}]
