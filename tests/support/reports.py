"""Results in folders, as the report finds them; every figure in them is made up."""

import json
import shutil
from functools import cache
from pathlib import Path

from scripts.bench import schema, stats
from scripts.build.record import BuildRecord, Layer
from scripts.report.page import page
from scripts.report.render import html
from scripts.report.sources import read
from scripts.workspace.paths import BENCHMARKS
from tests.support.results import case_of, run_of

GPU = schema.Gpu(
    name="NVIDIA Madeup 9000",
    capability="9.0",
    uuid_hash=None,
    driver="550.54",
    power_limit=None,
    clocks_max=None,
    mig=None,
)
CEILINGS = schema.Ceilings(
    dtype="float16", flops=9e14, bytes=3e12, exps=3.9e12, source="measured: matmul, copy, exp"
)
TOKENS = (64, 256, 1024, 4096)
# Times of a call over sdp's.
BACKENDS = {"sdp": 1.0, "sdp@again": 1.001, "xformers": 0.9, "Doggettx": 1.5}
ROUNDS = 8
HOSTILE = "</script><script>hacked=1</script><img src=x onerror=hacked=1>&amp;<b>"
BUMPED_AT = 3
SLOWEST = f"attn/sd15-512-self-{TOKENS[-1]}/float16/xformers"


@cache
def gpu_run(place: int, *, slower: float = 1.0) -> schema.Run:
    """The run of a day; from BUMPED_AT on, torch is a newer one. `slower` is of xformers alone."""
    cases: list[schema.Case] = []
    pairs: list[stats.Pair] = []
    for tokens in TOKENS:
        prefix = f"attn/sd15-512-self-{tokens}/float16/"
        samples = {
            name: _samples(tokens, factor * (slower if name == "xformers" else 1.0), place)
            for name, factor in BACKENDS.items()
        }
        cases += [_call(prefix + name, tokens, taken) for name, taken in samples.items()]
        cases.append(case_of(f"{prefix}V1", shape=_shape(tokens)))
        pairs += stats.pairs_of(
            {prefix + name: taken for name, taken in samples.items()},
            f"{prefix}sdp",
            f"{prefix}sdp@again",
        )
    torch = "2.1.2" if place < BUMPED_AT else "2.8.0"
    return run_of(
        tuple(cases),
        tuple(stats.compare(pairs)),
        run_id=f"202601{place + 1:02}T030405Z-{place:06x}",
        utc=f"2026-01-{place + 1:02}T03:04:05Z",
        git=schema.Git(sha="c0ffee" * 6 + "c0ff", dirty=place == 0),
        lock_sha256=("1" if place < BUMPED_AT else "2") * 64,
        argv=("--suite", "attn"),
        gpu=GPU,
        sw=schema.Software(torch=torch, cuda="12.1", cudnn=None, xformers="0.0.23", python="3.11"),
        ceilings=(CEILINGS,),
    )


def hostile_run() -> schema.Run:
    """A run that holds markup wherever a result may hold text."""
    run = gpu_run(0)
    shape = {**run.cases[0].shape, "name": HOSTILE, "model": HOSTILE, "scaled": HOSTILE}
    case = case_of(
        f"attn/{HOSTILE}/sdp",
        *[10**6] * ROUNDS,
        shape=shape,
        resolved_kernel=HOSTILE,
        dtype=HOSTILE,
        reason=HOSTILE,
        bound=HOSTILE,
        flops=10**9,
        bytes=10**6,
    )
    longer = case.model_copy(update={"id": f"attn/{HOSTILE}b", "shape": {**shape, "n": 128}})
    ceilings = CEILINGS.model_copy(update={"dtype": HOSTILE, "source": HOSTILE})
    return run_of(
        (case, longer, case_of(f"attn/{HOSTILE}c", shape=shape, reason=HOSTILE)),
        run_id=HOSTILE,
        host=run.host.model_copy(update={"cpu": HOSTILE}),
        sw=run.sw.model_copy(update={"torch": HOSTILE}),
        notes=(HOSTILE,),
        ceilings=(ceilings,),
    )


def _samples(tokens: int, factor: float, place: int) -> tuple[int, ...]:
    """Times of a call that grow with the square of the tokens, and wobble by less than 1 %."""
    nominal = 5000 + tokens**2 / 50
    return tuple(
        round(nominal * factor * (1 + 0.001 * ((each * 7 + place * 3) % 5)))
        for each in range(ROUNDS)
    )


def _shape(tokens: int) -> dict[str, str | int]:
    sizes = {"b": 2, "h": 8, "n": tokens, "m": tokens, "d": 40, "images": 1}
    return {"name": f"sd15-512-self-{tokens}", "model": "sd15", **sizes}


def _call(name: str, tokens: int, samples: tuple[int, ...]) -> schema.Case:
    scores = 2 * 8 * tokens**2
    return case_of(
        name,
        *samples,
        shape=_shape(tokens),
        flops=4 * scores * 40,
        bytes=2 * 2 * 8 * 40 * 4 * tokens,
        exps=scores,
        pct_floor=40.0,
        bound="exps",
    )


BUILD = BuildRecord(
    profile="sandbox",
    image="sdkiln-sandbox:latest",
    digest="sha256:" + "a" * 64,
    lock_sha256="b" * 64,
    inputs_sha256="c" * 64,
    replaced={},
    git_sha="c0ffee",
    git_dirty=False,
    utc="2026-01-02T03:04:05Z",
    seconds=139.6,
    engine="embedded, Docker 26.1",
    layers=tuple(
        Layer(
            name=name,
            digest="sha256:0",
            size=mb * 10**6,
            unpacked=2 * mb * 10**6,
            cached=False,
            seconds=1,
        )
        for name, mb in (("base", 33), ("py-torch", 718), ("source", 5))
    ),
    steps=(),
)


def folders(root: Path) -> tuple[Path, Path]:
    """Fill and return a folder of committed results and one of this machine's."""
    benchmarks, workspace = root / "benchmarks", root / "workspace"
    for name in ("rebuild", "replay", "verdicts"):
        shutil.copytree(BENCHMARKS / name, benchmarks / name)
    device = benchmarks / "nvidia-madeup-9000"
    runs = [gpu_run(place, slower=1.2 if place >= BUMPED_AT else 1.0) for place in range(6)]
    for run in runs:
        schema.save(run, device / "runs" / f"{run.run_id}.json")
    change = {
        "case": SLOWEST,
        "measure": "time",
        "before": runs[BUMPED_AT - 1].run_id,
        "after": runs[BUMPED_AT].run_id,
        "ratio": 1.2,
        "p": 0.0001,
        "because": ["torch 2.1.2 -> 2.8.0"],
    }
    (device / "changes.json").write_text(json.dumps({"schema": 1, "changes": [change]}))
    local = gpu_run(6, slower=1.2)
    schema.save(local, workspace / "bench" / f"{local.run_id}.json")
    latest = workspace / "builds" / "sandbox" / "latest.json"
    latest.parent.mkdir(parents=True)
    latest.write_text(BUILD.model_dump_json())
    return benchmarks, workspace


def site(root: Path) -> str:
    """The page of made-up results."""
    return html(page(read(*folders(root))))
