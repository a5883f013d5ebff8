"""The grouping that is called ours is the one that the image is built with."""

import csv

import pytest

from scripts.bench.replay import groupings
from scripts.bench.replay.pulls import Key
from scripts.bench.replay.run import RECORDS
from scripts.build.contexts import groups
from scripts.lock.layers import CLIP, SOURCE, WORKER
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load


@pytest.mark.parametrize("name", ["sandbox", "runpod"])
def test_ours_has_the_layers_of_the_build(name: str) -> None:
    workspace = load()
    ours = groupings.by_patterns(groupings.OURS, workspace.layers)
    built = groups(workspace, workspace.profile(name))
    for group, pins in built.items():
        # A copy of one package of the web UI, and what only the stand-in has.
        if group not in (CLIP, SOURCE):
            environment = "worker" if group == WORKER else "webui"
            assert {ours.layer_of(Key(environment, pin.name)) for pin in pins} == {group}


def test_the_committed_evidence_is_of_the_layers_of_the_build() -> None:
    ours = groupings.by_patterns(groupings.OURS, load().layers)
    with (RECORDS / "runpod" / "packages.csv").open() as file:
        for row in csv.DictReader(file):
            key = Key(row["environment"], row["package"])
            assert ours.layer_of(key) == row["ours"], "record it again: benchmarks/replay/README.md"


def test_a_package_that_no_layer_takes_is_refused() -> None:
    with pytest.raises(BadInput, match=r"no pattern of .layers. matches numpy"):
        groupings.by_patterns("", {"py-torch": ["torch"]}).layer_of(Key("webui", "numpy"))


@pytest.mark.parametrize(
    ("package", "is_free"),
    [
        ("nvidia-cudnn-cu12", False),
        ("nvidia-nvjitlink-cu12", True),
        ("torch", False),
        ("xformers", False),
        ("gradio", False),
        ("scipy", True),
    ],
)
def test_what_may_move_is_what_neither_the_stack_nor_a_pin_holds(
    package: str, is_free: bool
) -> None:
    assert groupings.may_move({"gradio"})(Key("webui", package)) is is_free
    assert not groupings.may_move({"gradio"})(Key("worker", package))
    assert not groupings.may_move({package})(Key("webui", package))
