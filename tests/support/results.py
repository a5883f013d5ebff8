"""Runs as the bench could have measured them, and as hypothesis thinks them up."""

from typing import Any, get_args

from hypothesis import strategies as st

from scripts.bench import schema

TEXT = st.text(max_size=12)
IDS = st.from_regex(r"[a-z]{1,5}(/[ -~]{1,8}){1,2}", fullmatch=True) | st.text(
    st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=10
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
STATUSES = get_args(schema.Status)
ANY_SHAPES = st.dictionaries(st.text(max_size=5), st.integers() | TEXT, max_size=3)
IN_HOST: dict[str, Any] = {"ran_in": "host", "lock_sha256": None, "image_digest": None}
PICTURES = st.fixed_dictionaries(
    {"name": TEXT},
    optional={
        "steps": st.integers(-1, 50) | TEXT,
        "batch": st.sampled_from([1, 2, 3, 4, 8, 16]),
        "width": st.sampled_from([64, 512]),
        "height": st.sampled_from([64, 512]),
        "scaled": st.none() | TEXT,
    },
)


def run_of(
    cases: tuple[schema.Case, ...] = (),
    compare: tuple[schema.Comparison, ...] = (),
    **changes: Any,
) -> schema.Run:
    """A run on a machine without GPU."""
    fields: dict[str, Any] = {
        "run_id": "20260102T030405Z-abcdef",
        "utc": "2026-01-02T03:04:05Z",
        "git": schema.Git(sha=None, dirty=True),
        "lock_sha256": "0" * 64,
        "image_digest": "sha256:" + "0" * 64,
        "argv": ("--quick",),
        "seed": 1,
        "host": schema.Host(cpu="a CPU", cores=2, governor=None, kernel="6.1", cgroup=None),
        "gpu": None,
        "sw": schema.Software(torch="2.1.2", cuda=None, cudnn=None, xformers=None, python="3.11.7"),
        "flags": schema.Flags(tf32=False, cudnn_benchmark=False, deterministic=False, env={}),
        "cases": cases,
        "compare": compare,
    }
    return schema.Run(**{**fields, **changes})


def case_of(name: str, *samples_ns: int, **changes: Any) -> schema.Case:
    """A case of suite attn with these samples; without any it is unavailable."""
    fields: dict[str, Any] = {
        "id": name,
        "suite": "attn",
        "shape": {"name": "sd15-512-self-4096"},
        "dtype": "float16",
        "requested": name.rsplit("/", 1)[-1],
        "resolved_kernel": "flash_attention" if samples_ns else None,
        "status": "ok" if samples_ns else "unavailable",
        "reason": None if samples_ns else "it refuses",
        "samples_ns": samples_ns,
        "order": tuple(range(len(samples_ns))),
    }
    return schema.Case(**{**fields, **changes})


@st.composite
def cases(draw: st.DrawFn, name: str) -> schema.Case:
    """A case of that id, whatever its status, with as many samples as places."""
    status = draw(st.sampled_from(STATUSES))
    count = draw(st.integers(1 if status == "ok" else 0, 4))
    samples = draw(st.lists(st.integers(1, 2**63 - 1), min_size=count, max_size=count))
    return schema.Case(
        id=name,
        suite=draw(st.sampled_from(["attn", "image", "unet"])),
        shape=draw(ANY_SHAPES | PICTURES),
        dtype=draw(st.none() | st.just("float32")),
        requested=draw(TEXT),
        resolved_kernel=draw(st.none() | TEXT),
        status=status,
        reason=draw(st.none() | TEXT),
        samples_ns=tuple(samples),
        order=tuple(draw(st.permutations(range(count)))),
        host_ns=tuple(samples) if draw(st.booleans()) else (),
        peak_bytes=draw(st.none() | st.integers(0, 2**63 - 1)),
        rel_l2=draw(st.none() | FINITE),
    )


@st.composite
def comparisons(draw: st.DrawFn, a: schema.Case, b: schema.Case) -> schema.Comparison:
    """A comparison of two cases with samples whose ratio they give."""
    ratio = min(b.samples_ns) / max(a.samples_ns)
    if len(a.samples_ns) == len(b.samples_ns):
        ratio = b.samples_ns[0] / a.samples_ns[0]
    return schema.Comparison(
        a=a.id,
        b=b.id,
        ratio=ratio,
        ci=(ratio * draw(st.floats(0, 1)), ratio * draw(st.floats(1, 1e300))),
        p=draw(st.floats(0, 1)),
        q=draw(st.floats(0, 1)),
        verdict=draw(st.sampled_from(["FASTER", "SLOWER", "SAME", "INCONCLUSIVE"])),
    )


@st.composite
def runs(draw: st.DrawFn) -> schema.Run:
    """Any run that a result file may hold."""
    names = draw(st.lists(IDS, max_size=4, unique=True))
    made = tuple(draw(cases(name)) for name in names)
    timed = [case for case in made if case.status == "ok"]
    found = tuple(draw(comparisons(timed[0], case)) for case in timed[1:])
    gpu = schema.Gpu(
        name=draw(TEXT),
        capability="9.0",
        uuid_hash=None,
        driver=draw(st.none() | TEXT),
        power_limit=None,
        clocks_max=None,
        mig=None,
    )
    return run_of(
        made,
        found,
        run_id=draw(TEXT),
        utc=draw(st.datetimes()).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0"),
        git=schema.Git(sha=draw(st.none() | TEXT), dirty=draw(st.booleans())),
        host=schema.Host(cpu=draw(TEXT), cores=2, governor=None, kernel=draw(TEXT), cgroup=None),
        gpu=draw(st.none() | st.just(gpu)),
        sw=schema.Software(
            torch=draw(TEXT), cuda=draw(st.none() | TEXT), cudnn=None, xformers=None, python="3.11"
        ),
        **draw(st.sampled_from([{}, IN_HOST])),
    )
