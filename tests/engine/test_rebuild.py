"""`bench --suite rebuild`: both orders really built, in a workspace that is gone afterwards."""

import csv

from scripts.workspace.paths import BENCH, WORKSPACE
from tests.support.commands import command


def test_in_our_order_a_bump_reaches_its_layer_alone_and_in_the_other_all_above_it() -> None:
    done = command("bench", "--suite", "rebuild", "--quick", timeout_s=1800)
    assert done.returncode == 0, done.stderr + done.stdout
    folder = BENCH / "rebuild" / "sandbox"
    with (folder / "builds.csv").open(newline="") as file:
        rows = {(row["order"], row["change"]): row for row in csv.DictReader(file)}
    layers = {key: int(row["new_layers"]) for key, row in rows.items()}
    changes = {change for _, change in layers}
    assert changes == {
        "first build",
        "handler edit",
        "RunPod SDK",
        "one web UI package",
        "model",
    }
    for change in changes - {"first build"}:
        assert layers["ours", change] == 1
    other = "worker-a1111's order"
    assert layers[other, "handler edit"] == 1
    assert layers[other, "RunPod SDK"] == 2
    assert layers[other, "one web UI package"] >= 2
    moved = {key: int(row["new_bytes"]) for key, row in rows.items()}
    assert moved["ours", "one web UI package"] < moved[other, "one web UI package"]
    assert (folder / "costs.png").read_bytes().startswith(b"\x89PNG")
    assert not (WORKSPACE / "rebuild").exists()
    assert "one web UI package" in done.stdout
