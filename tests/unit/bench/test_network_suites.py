"""Suites unet and vae on the host: records become cases, comparisons and tables."""

import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts.bench import cases, networks, packages, schema, table
from scripts.lock.lockfile import Lockfile
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import load
from scripts.workspace.paths import LOCKFILES

KEY = "sd15-div8-512/float32"
SHAPE: dict[str, Any] = {
    "record": "shape",
    **{"key": KEY, "name": "sd15-div8-512", "width": 512, "height": 512, "batch": 2},
    **{"scaled": "heads and channels 1/8 of the published", "calls_per_sample": 1},
    **{"parameters": 15_577_724, "weights_bytes": 62_310_896, "attention": []},
}
HEADER: dict[str, Any] = {
    "record": "header",
    "host": {"cpu": "CPU", "cores": 2, "governor": None, "kernel": "6", "cgroup": None},
    "gpu": None,
    "sw": {"torch": "2.1.2", "cuda": None, "cudnn": None, "xformers": None, "python": "3.11.7"},
    "flags": {"tf32": False, "cudnn_benchmark": False, "deterministic": False, "env": {}},
}
MISSING = "ModuleNotFoundError: No module named 'diffusers'"


def case(backend: str, suite: str = "unet", **fields: Any) -> dict[str, Any]:
    return {
        "record": "case",
        "id": f"{suite}/{KEY}/{backend}",
        "shape": KEY,
        "dtype": "float32",
        "requested": backend.removesuffix("@again"),
        "status": "ok",
        "reason": None,
        "warm": True,
        "resolved_kernel": "aten::bmm",
        "rel_l2": 7e-7,
        "bitwise": True,
        "attention_share": 0.25,
        "peak_bytes": 134_000_000,
        **fields,
    }


def timed(index: int, names: tuple[str, ...], slowest: str) -> dict[str, Any]:
    order = list(names[index % len(names) :] + names[: index % len(names)])
    taken = {name: 50_000_000 + 1000 * (index % 5) for name in names}
    taken[slowest] *= 2
    return {
        "record": "round",
        "shape": KEY,
        "order": order,
        "samples_ns": taken,
        "host_ns": dict.fromkeys(names, 7),
    }


END = {"record": "shape_end", "shape": KEY, "rounds": 20, "reasons": {}, "outside_share": 0.004}
UNET = ("sdp", "naive", "sdp@again")
ROUNDS = [timed(index, UNET, "naive") for index in range(20)]
WHOLE: list[dict[str, Any]] = [HEADER, SHAPE, *(case(name) for name in UNET), *ROUNDS, END]


def test_a_step_is_compared_with_sdp_and_keeps_memory_and_share() -> None:
    measured = networks.evaluate("unet", WHOLE, seed=1)
    first = measured.cases[0]
    assert (first.suite, first.dtype, len(first.samples_ns)) == ("unet", "float32", 20)
    assert (first.attention_share, first.peak_bytes) == (0.25, 134_000_000)
    assert "key" not in first.shape
    found = {each.b.rsplit("/", 1)[-1]: each for each in measured.compare}
    assert found["naive"].verdict == "SLOWER"
    assert found["naive"].ratio == pytest.approx(2)
    assert found["sdp@again"].verdict == "SAME"
    assert measured.disagreements == []


def test_a_decode_is_compared_with_what_the_web_ui_runs() -> None:
    names = ("sdp-3d", "sdp-4d", "sdp-3d@again")
    records = [case(name, "vae") for name in names]
    records += [timed(index, names, "sdp-3d@again") for index in range(8)]
    found = networks.evaluate("vae", [HEADER, SHAPE, *records, END], seed=1).compare
    assert {each.a for each in found} == {f"vae/{KEY}/sdp-3d"}


def test_where_diffusers_is_missing_every_case_says_so() -> None:
    gone = [case(name, status="unavailable", reason=MISSING) for name in UNET]
    measured = networks.evaluate("unet", [HEADER, SHAPE, *gone], seed=1)
    assert [each.reason for each in measured.cases] == [MISSING] * 3
    assert {each.status for each in measured.cases} == {"unavailable"}
    assert not measured.compare


def test_only_what_disagrees_is_reported_as_wrong() -> None:
    wrong = case("V1", status="discarded", reason="disagrees with float64", disagrees=True)
    late = case("naive", status="discarded", reason="the time was over")
    measured = networks.evaluate("unet", [case("sdp"), wrong, late], seed=1)
    assert measured.disagreements == [f"unet/{KEY}/V1: disagrees with float64"]
    assert [each.status for each in measured.cases[1:]] == ["discarded", "discarded"]


def test_a_killed_run_keeps_its_rounds_and_says_how_many() -> None:
    records = [HEADER, SHAPE, *(case(name) for name in UNET), *ROUNDS[:7]]
    measured = networks.evaluate("unet", records, seed=1)
    assert [len(each.samples_ns) for each in measured.cases] == [7, 7, 7]
    assert all("ended after 7 rounds" in (each.reason or "") for each in measured.cases)
    measured = networks.evaluate("unet", records[:5], seed=1)
    assert {each.status for each in measured.cases} == {"discarded"}


def test_out_of_memory_in_a_round_ends_that_case_only() -> None:
    late = {**ROUNDS[9], "order": ["sdp", "sdp@again"]}
    late["samples_ns"] = {k: v for k, v in late["samples_ns"].items() if k != "naive"}
    oom = {
        **{"record": "case_end", "shape": KEY, "backend": "naive"},
        **{"status": "oom", "reason": "OutOfMemoryError: CUDA out of memory."},
    }
    records = [HEADER, SHAPE, *(case(name) for name in UNET), *ROUNDS[:9], oom, late, END]
    measured = networks.evaluate("unet", records, seed=1)
    by_name = {each.id.rsplit("/", 1)[-1]: each for each in measured.cases}
    ended = by_name["naive"]
    assert (ended.status, len(ended.samples_ns)) == ("oom", 9)
    assert ended.reason == "after 9 rounds: OutOfMemoryError: CUDA out of memory."
    assert len(by_name["sdp"].samples_ns) == 10
    assert {each.b.rsplit("/", 1)[-1] for each in measured.compare} == {"sdp@again"}
    assert cases.shape_of(oom) == KEY


def test_two_types_of_one_size_stay_apart() -> None:
    other = [{**record} for record in WHOLE[1:]]
    for record in other:
        for name in ("id", "key", "shape"):
            if name in record:
                record[name] = str(record[name]).replace("float32", "float16")
        if "dtype" in record:
            record["dtype"] = "float16"
    measured = networks.evaluate("unet", [*WHOLE, *other[:-11]], seed=1)
    assert [len(each.samples_ns) for each in measured.cases] == [20] * 3 + [10] * 3


def test_what_a_reader_must_know_is_kept() -> None:
    told = "the GPU is in use by 2 other processes"
    measured = networks.evaluate("unet", [{**HEADER, "notes": [told]}, *WHOLE[1:]], seed=1)
    assert measured.notes == [told]


def test_discarded_rounds_are_kept_apart_and_clocks_give_cycles() -> None:
    rounds = [
        {
            **each,
            "sm_mhz": dict.fromkeys(UNET, 2000),
            "nvml": {"sm_mhz": 7, "other_processes": 1},
            "discarded": None,
        }
        for each in ROUNDS
    ]
    rounds[3]["discarded"] = "hw thermal slowdown"
    records = [HEADER, SHAPE, *(case(name) for name in UNET), *rounds, END]
    found = networks.evaluate("unet", records, seed=1).cases[0]
    assert len(found.samples_ns) == len(found.order) == len(found.nvml) == len(ROUNDS) - 1
    assert found.cycles == tuple(2 * ns for ns in found.samples_ns)
    assert [(each.round, each.reason) for each in found.discarded] == [(3, "hw thermal slowdown")]
    assert found.reason == "1 rounds discarded; others used the GPU in 19 rounds"


def test_the_share_of_time_outside_the_calls_is_told() -> None:
    measured = networks.evaluate("unet", WHOLE, seed=1)
    assert {each.shape["outside_share"] for each in measured.cases} == {0.004}


def test_the_share_of_time_for_which_a_gpu_was_held_is_kept_apart() -> None:
    held = {**END, "held_share": 0.3}
    measured = networks.evaluate("unet", [*WHOLE[:-1], held], seed=1)
    shares = {(each.shape["outside_share"], each.shape["held_share"]) for each in measured.cases}
    assert shares == {(0.004, 0.3)}


def test_the_table_has_iterations_memory_and_the_share_of_attention() -> None:
    measured = networks.evaluate("unet", WHOLE, seed=1)
    run = schema.Run(
        run_id="a",
        utc="b",
        lock_sha256="",
        image_digest="sha256:0",
        argv=(),
        git=schema.Git(sha=None, dirty=False),
        seed=1,
        host=schema.Host.model_validate(HEADER["host"]),
        gpu=None,
        sw=schema.Software.model_validate(HEADER["sw"]),
        flags=schema.Flags.model_validate(HEADER["flags"]),
        cases=tuple(measured.cases),
        compare=tuple(measured.compare),
    )
    output = io.StringIO()
    table.show(run, Console(file=output, width=200))
    lines = output.getvalue().splitlines()
    assert lines[0].startswith("unet sd15-div8-512 float32, weights 62 MB (scaled: heads and")
    assert "it/s" in lines[2] and "peak MB" in lines[2] and "attention" in lines[2]
    (naive,) = [line.split() for line in lines if line.split()[:1] == ["naive"]]
    assert {"10.00", "134", "25%", "SLOWER"} <= set(naive)


def test_every_profile_has_a_lock_of_what_its_probe_imports() -> None:
    for profile in load().profiles.values():
        lock = LOCKFILES / f"{packages.lock_of(profile)}.txt"
        assert "\ndiffusers==" in lock.read_text()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks and packages of its own, and a uv that may not ask the registry."""
    for name in ("LOCKFILES", "PACKAGES"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(packages, name, tmp_path / name)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def lock(folder: Path, body: str) -> None:
    path = folder / "LOCKFILES" / "probe-cu121-py3.11.txt"
    path.write_text(Lockfile(path, {}, body).text())


def test_a_lock_without_packages_makes_a_folder_that_all_may_read_and_another_lock_another(
    elsewhere: Path,
) -> None:
    workspace = load()
    lock(elsewhere, "")
    before = os.umask(0o077)
    try:
        first = packages.installed(workspace, workspace.profile("sandbox"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(first.stat().st_mode) & 0o555 == 0o555
    assert packages.installed(workspace, workspace.profile("sandbox")) == first
    lock(elsewhere, "# another\n")
    assert packages.installed(workspace, workspace.profile("sandbox")) != first


def test_a_registry_that_is_away_is_said_and_leaves_nothing(elsewhere: Path) -> None:
    workspace = load()
    lock(elsewhere, "nosuch==1 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(Failure, match="the package registry could not be reached"):
        packages.installed(workspace, workspace.profile("sandbox"))
    assert [each.name for each in (elsewhere / "PACKAGES").iterdir()] == ["lock"]


def test_a_lock_that_was_edited_is_not_installed(elsewhere: Path) -> None:
    workspace = load()
    lock(elsewhere, "")
    path = elsewhere / "LOCKFILES" / "probe-cu121-py3.11.txt"
    path.write_text(path.read_text() + "nosuch==1\n")
    with pytest.raises(BadInput, match="is not as `lock` wrote it"):
        packages.installed(workspace, workspace.profile("sandbox"))
