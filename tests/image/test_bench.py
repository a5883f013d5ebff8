"""bench on the built image: what a killed one leaves, and what it answers when it cannot."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.bench import schema
from scripts.bench.container import PYTHON, created, run_probe
from scripts.build.engine import Engine
from scripts.build.record import BuildRecord
from scripts.workspace.paths import ROOT
from tests.support.commands import command


def containers(engine: Engine) -> Sequence[object]:
    return engine.client().containers.list(all=True, filters={"label": "sdkiln=bench"})


def test_what_a_killed_bench_left_is_removed_by_the_next_and_can_be_gone_on_with(
    engine: Engine, image: BuildRecord
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.bench", "--suite=attn", "--quick"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not containers(engine):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(containers(engine)) == 1
    done = command("bench", "--suite=attn", "--quick", "--budget=5")
    assert done.returncode == 0, done.stderr
    assert not containers(engine)
    assert "was not finished" in done.stderr
    done = command("bench", "--continue")
    assert done.returncode == 0, done.stderr
    assert "the run was cut short, and continued at" in done.stdout


def test_an_unknown_suite_is_answered_with_the_nearest(image: BuildRecord) -> None:
    done = command("bench", "--suite=atn")
    assert done.returncode == 2
    assert "Did you mean attn?" in done.stderr


def test_whole_networks_run_in_the_image_with_packages_that_it_does_not_hold(
    engine: Engine, image: BuildRecord, tmp_path: Path
) -> None:
    # Few backends: on a busy machine there is no time for all of them.
    cases: dict[str, schema.Case] = {}
    for suite, backends in (("unet", "xformers,naive"), ("vae", "sdp-4d")):
        file = tmp_path / f"{suite}.json"
        chosen = (f"--suite={suite}", "--quick", f"--backend={backends}", "--budget=60")
        done = command("bench", *chosen, f"--json={file}")
        assert done.returncode == 0, done.stderr
        assert not containers(engine)
        cases |= {case.id: case for case in schema.load(file).cases}
    scaled = "sd15-div8-256/float32"
    for backend in ("sdp", "sdp@again", "naive"):
        case = cases[f"unet/{scaled}/{backend}"]
        assert case.status == "ok", case.reason
        assert case.samples_ns
        assert case.peak_bytes
        assert case.attention_share
        assert case.shape["scaled"]
        assert sum(each["calls"] for each in case.shape["attention"]) == 32
    flat, fused = cases[f"vae/{scaled}/sdp-3d"], cases[f"vae/{scaled}/sdp-4d"]
    assert flat.resolved_kernel == "aten::_scaled_dot_product_attention_math"
    assert fused.resolved_kernel != flat.resolved_kernel
    missing = cases[f"unet/{scaled}/xformers"]
    assert missing.status == "unavailable"
    assert "NotImplementedError" in str(missing.reason)


def test_the_image_itself_has_no_diffusers_beside_the_web_ui(
    engine: Engine, image: BuildRecord
) -> None:
    with created(engine.client(), image.image, command=[PYTHON, "-m", "probe", "unet"]) as made:
        code: dict[str, int] = {}
        records = list(run_probe(made, 300, code))
    reasons = {each["reason"] for each in records if each["record"] == "case"}
    assert reasons == {"ModuleNotFoundError: No module named 'diffusers'"}
    assert code == {"exit": 0}


def test_chosen_cases_are_measured_or_say_why_not(image: BuildRecord, tmp_path: Path) -> None:
    """The VAE's 3-D call runs torch's math, the 4-D one a fused kernel; a CPU has no other."""
    result = tmp_path / "run.json"
    chosen = ("--shape=vae-512-self-4096", "--backend=sdp-4d,sdp-efficient", "--budget=5")
    done = command("bench", "--suite=attn", *chosen, f"--json={result}")
    assert done.returncode == 0, done.stderr
    run = schema.load(result)
    cases = {case.id.rsplit("/", 1)[-1]: case for case in run.cases}
    assert set(cases) == {"sdp", "sdp-4d", "sdp-efficient", "sdp@again"}
    assert "math" in (cases["sdp"].resolved_kernel or "")
    assert "flash" in (cases["sdp-4d"].resolved_kernel or "")
    assert cases["sdp-efficient"].status == "unsupported"
    assert "RuntimeError" in (cases["sdp-efficient"].reason or "")
    assert {case.bound for case in run.cases} <= {"flops", "bytes", "exps"}
    assert [each.dtype for each in run.ceilings] == ["float32"]
    assert (run.ran_in, run.image_digest) == ("image", image.digest)


def test_pictures_are_drawn_by_the_running_web_ui_with_each_optimization_in_turn(
    engine: Engine, image: BuildRecord, tmp_path: Path
) -> None:
    """Of one seed, so they differ by little; with the memory of the web UI's own process."""
    result = tmp_path / "run.json"
    done = command("bench", "--suite=image", "--quick", "--budget=60", f"--json={result}")
    assert done.returncode == 0, done.stderr
    assert not containers(engine)
    run = schema.load(result)
    cases = {case.id.rsplit("/", 1)[-1]: case for case in run.cases}
    assert {case.dtype for case in run.cases} == {"float32"}
    for backend in ("sdp", "sdp@again", "InvokeAI", "naive"):
        case = cases[backend]
        assert case.status == "ok", case.reason
        assert case.samples_ns
        assert case.peak_bytes
        assert case.shape["batch"] == 1
    again, naive = cases["sdp@again"].difference, cases["naive"].difference
    assert again is not None
    assert again.max_abs == 0
    assert naive is not None
    assert naive.mean_abs is not None
    assert naive.mean_abs < 8
    assert "the web UI applied" in str(cases["xformers"].reason)
    assert any("no other was run" in note for note in run.notes)
    assert any("VmHWM" in note for note in run.notes)
