"""What a bump pulls under any layering, from the changed wheels alone to everything at once."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.replay.pulls import (
    Key,
    Layering,
    Snapshot,
    Wheel,
    all_together,
    count,
    each_alone,
    each_bump,
    moves,
    per_environment,
    pulled,
)

KEYS = [Key(environment, name) for environment in ("webui", "worker") for name in "abcd"]
WHEELS = st.builds(
    lambda version, size: Wheel(version, f"x-{version}-{size}.whl", size),
    st.sampled_from("12"),
    st.integers(0, 9),
)
SNAPSHOTS = st.dictionaries(st.sampled_from(KEYS), WHEELS)
PARTITIONS = st.fixed_dictionaries({key: st.sampled_from("123") for key in KEYS})

LIMIT = Layering("limit", each_alone)
ONE_LAYER = Layering("one layer", all_together)


def layering(partition: Mapping[Key, str], *stacked: str) -> Layering:
    return Layering("some", lambda key: partition[key], stacked)


@given(before=SNAPSHOTS, after=SNAPSHOTS, fine=PARTITIONS, merge=st.sampled_from("123"))
def test_a_finer_partition_never_pulls_more(
    before: Snapshot, after: Snapshot, fine: Mapping[Key, str], merge: str
) -> None:
    coarse = {key: "1" if layer == merge else layer for key, layer in fine.items()}
    assert pulled(before, after, layering(fine)) <= pulled(before, after, layering(coarse))


@given(before=SNAPSHOTS, after=SNAPSHOTS, partition=PARTITIONS, stacked=st.permutations("123"))
def test_every_grouping_lies_between_the_changed_wheels_and_one_layer(
    before: Snapshot, after: Snapshot, partition: Mapping[Key, str], stacked: list[str]
) -> None:
    least, most = pulled(before, after, LIMIT), pulled(before, after, ONE_LAYER)
    assert least <= pulled(before, after, layering(partition)) <= most
    assert least <= pulled(before, after, layering(partition, *stacked)) <= most


@given(snapshot=SNAPSHOTS, partition=PARTITIONS, stacked=st.permutations("123"))
def test_nothing_changed_is_nothing_pulled(
    snapshot: Snapshot, partition: Mapping[Key, str], stacked: list[str]
) -> None:
    assert pulled(snapshot, dict(snapshot), layering(partition, *stacked)) == 0


@given(before=SNAPSHOTS, after=SNAPSHOTS)
def test_the_limit_is_the_size_of_what_is_new(before: Snapshot, after: Snapshot) -> None:
    new = [wheel for key, wheel in after.items() if before.get(key) != wheel]
    assert pulled(before, after, LIMIT) == sum(wheel.size for wheel in new)


BEFORE = {
    Key("webui", "torch"): Wheel("1", "torch-1.whl", 600),
    Key("webui", "numpy"): Wheel("1", "numpy-1.whl", 20),
    Key("worker", "numpy"): Wheel("1", "numpy-1.whl", 20),
}


def test_a_layer_is_pulled_whole_when_one_of_its_packages_changed() -> None:
    after = {**BEFORE, Key("webui", "numpy"): Wheel("2", "numpy-2.whl", 21)}
    assert pulled(BEFORE, after, Layering("", per_environment)) == 621
    assert pulled(BEFORE, after, LIMIT) == 21


def test_another_file_of_the_same_version_is_a_change() -> None:
    after = {**BEFORE, Key("webui", "numpy"): Wheel("1", "numpy-1-1.whl", 22)}
    assert pulled(BEFORE, after, LIMIT) == 22


def test_a_package_that_goes_makes_its_layer_another_one() -> None:
    after = {key: wheel for key, wheel in BEFORE.items() if key != Key("webui", "numpy")}
    assert pulled(BEFORE, after, Layering("", per_environment)) == 600
    assert pulled(BEFORE, after, LIMIT) == 0


@pytest.mark.parametrize(("environment", "size"), [("webui", 642), ("worker", 22)])
def test_what_is_stacked_on_a_changed_layer_is_pulled_too(environment: str, size: int) -> None:
    after = {**BEFORE, Key(environment, "numpy"): Wheel("2", "numpy-2.whl", 22)}
    stacked = Layering("", per_environment, ("webui", "worker"))
    assert pulled(BEFORE, after, stacked) == size


def test_a_history_is_pulled_bump_by_bump() -> None:
    after = {**BEFORE, Key("webui", "numpy"): Wheel("2", "numpy-2.whl", 21)}
    assert each_bump([BEFORE, BEFORE, after, BEFORE], LIMIT) == [0, 21, 20]
    assert moves([BEFORE, BEFORE, after, BEFORE], Key("webui", "numpy")) == [1, 2]
    assert count([BEFORE], LIMIT) == 3
    assert count([BEFORE], ONE_LAYER) == 1
