"""One result file (schema v1): what was measured, on what, with every raw sample."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scripts.workspace.errors import BadInput
from scripts.workspace.files import write_atomic
from scripts.workspace.paths import shown

SCHEMA = 1

Status = Literal["ok", "unavailable", "unsupported", "oom", "discarded"]
VerdictName = Literal["FASTER", "SLOWER", "SAME", "INCONCLUSIVE"]


class Record(BaseModel):
    """Immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Git(Record):
    """The commit of this repository, and whether files differed from it."""

    sha: str | None
    dirty: bool


class Host(Record):
    """The machine, as seen from inside the container."""

    cpu: str
    cores: int
    governor: str | None
    kernel: str
    cgroup: str | None


class Gpu(Record):
    """The first CUDA device; `uuid_hash` tells two apart without naming either."""

    name: str
    capability: str
    uuid_hash: str | None
    driver: str | None
    power_limit: str | None
    clocks_max: str | None
    mig: str | None


class Software(Record):
    """Versions in the image's environment `webui`; None is not installed."""

    torch: str
    cuda: str | None
    cudnn: str | None
    xformers: str | None
    python: str


class Flags(Record):
    """Switches of torch, and the variables that change what it does."""

    tf32: bool
    cudnn_benchmark: bool
    deterministic: bool
    env: dict[str, str]


class Difference(Record):
    """How the picture of a backend differs from the reference's, in values of 0 to 255."""

    against: str
    max_abs: int
    psnr_db: float | None
    """Peak signal-to-noise ratio; None for equal pictures, where it is infinite."""


class Ceilings(Record):
    """Peak rates of the device for one type, in 1/s; `source` says how they are known."""

    dtype: str
    flops: float
    bytes: float
    exps: float | None
    source: str


class Discarded(Record):
    """A sample that does not count: in its round the GPU was slowed down, by heat or hardware.

    `round` counts the case's rounds from zero, those discarded with them.
    """

    round: int
    reason: str
    sample_ns: int
    host_ns: int
    nvml: dict[str, Any]


class Case(Record):
    """One measurement. `samples_ns` are means of `shape.calls_per_sample` calls, one a round.

    `order` is the place within its round of each sample. On a CPU `host_ns` is the same clock as
    `samples_ns`; on CUDA it is the time to issue the calls. `bytes` and `flops` are the least
    that the shape asks for, `pct_floor` the share of the median that the device's ceilings
    explain (None where they are not known). `nvml` is what the GPU's driver counted in each round,
    `cycles` the sample by the round's SM clock.
    """

    id: str
    suite: str
    shape: dict[str, Any]
    dtype: str | None
    requested: str
    resolved_kernel: str | None
    status: Status
    reason: str | None
    samples_ns: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    host_ns: tuple[int, ...] = ()
    cycles: tuple[int, ...] = ()
    peak_bytes: int | None = None
    nvml: tuple[dict[str, Any], ...] = ()
    discarded: tuple[Discarded, ...] = ()
    flops: int | None = None
    bytes: int | None = None
    exps: int | None = None
    pct_floor: float | None = None
    bound: str | None = None
    rel_l2: float | None = None
    bitwise: bool | None = None
    difference: Difference | None = None


class Comparison(Record):
    """Case `b` against case `a`: `ratio` is b's time over a's, below one is faster."""

    a: str
    b: str
    ratio: float
    ci: tuple[float, float]
    p: float
    q: float
    verdict: VerdictName


class Run(Record):
    """One execution of suites, in the image or in a Python of the host, which has no digest.

    `notes` is what else a reader must know: who else used the GPU, what was loaded beside torch.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    run_id: str
    utc: str
    git: Git
    lock_sha256: str | None
    image_digest: str | None
    argv: tuple[str, ...]
    seed: int
    host: Host
    gpu: Gpu | None
    sw: Software
    flags: Flags
    cases: tuple[Case, ...]
    compare: tuple[Comparison, ...]
    ran_in: Literal["image", "host"] = "image"
    ceilings: tuple[Ceilings, ...] = ()
    notes: tuple[str, ...] = ()


def dumps(run: Run) -> str:
    """The file's text: the same run gives the same bytes."""
    return json.dumps(run.model_dump(mode="json", by_alias=True), indent=1) + "\n"


def save(run: Run, path: Path) -> None:
    """Write `run` to `path`, whole or not at all."""
    write_atomic(path, dumps(run))


def load(path: Path) -> Run:
    """Read a result file. Raises BadInput with the reason for one that is not whole schema v1."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{shown(path)} cannot be read: {error}.") from None
    return loads(text, shown(path))


def loads(text: str, name: str) -> Run:
    """Parse a result file's text; `name` is how messages call it. Raises BadInput."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BadInput(
            f"{name} is no whole JSON file ({error}).",
            hint="A result is written whole or not at all: copy the file again.",
        ) from None
    found = content.get("schema") if isinstance(content, dict) else None
    if found != SCHEMA:
        raise BadInput(
            f"{name} is of schema {found!r}; this program reads schema {SCHEMA}.",
            hint="Read it with the version of sdkiln that wrote it.",
        )
    try:
        return Run.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            f"{name} does not follow schema {SCHEMA}: {where}: {first['msg']} "
            f"({error.error_count()} such problems)."
        ) from None
