"""One result file (schema v1): what was measured, on what, with every raw sample."""

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scripts.workspace.errors import BadInput
from scripts.workspace.files import write_atomic
from scripts.workspace.paths import shown

SCHEMA = 1
UTC = "%Y-%m-%dT%H:%M:%SZ"
LONGEST_ID = 1024
"""Bytes of a case's id: what Bencher takes as the name of a benchmark."""
MOST = 2**63
"""Numbers of ns and bytes are below this, as in the programs that read our exports."""

Status = Literal["ok", "unavailable", "unsupported", "oom", "discarded"]
Place = Literal["image", "host"]
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
    """Switches of torch, and the variables that change what it does.

    `tf32` is of products of matrices, `cudnn_tf32` of convolutions; the latter is None in results
    of before it was asked.
    """

    tf32: bool
    cudnn_benchmark: bool
    deterministic: bool
    env: dict[str, str]
    cudnn_tf32: bool | None = None


class Difference(Record):
    """How the picture of a backend differs from the reference's, in values of 0 to 255.

    Of equal pictures `max_abs` is 0; of a batch it is the first picture. `mean_abs` is over
    all pixels and colours.
    """

    against: str
    max_abs: int
    psnr_db: float | None
    """Peak signal-to-noise ratio; None for equal pictures, where it is infinite."""
    mean_abs: float | None = None


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
    explain (None where they are not known). `peak_bytes` is what a call takes beyond its inputs and
    weights, of suite image all that the web UI held, `attention_share` the part of a network's time
    inside its attention, from 0 to 1.
    `nvml` is what the GPU's driver counted in each round, `cycles` the sample by the SM clock right
    around it. `issue_bound` counts the samples in which the GPU waited for the host, so that they
    are times to issue; None in results of before that was asked, and on a CPU. `max_abs` is the
    largest difference from float64, `rel_l2` the L2 norm of all over that of the exact ones.
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
    attention_share: float | None = Field(default=None, ge=0, le=1)
    nvml: tuple[dict[str, Any], ...] = ()
    discarded: tuple[Discarded, ...] = ()
    flops: int | None = None
    bytes: int | None = None
    exps: int | None = None
    pct_floor: float | None = None
    bound: str | None = None
    rel_l2: float | None = None
    max_abs: float | None = None
    issue_bound: int | None = Field(default=None, ge=0)
    bitwise: bool | None = None
    difference: Difference | None = None

    @property
    def issue_ns(self) -> float | None:
        """Median time to issue a call; None where that is no time beside the samples'."""
        if not self.host_ns or self.host_ns == self.samples_ns:
            return None
        return statistics.median(self.host_ns)

    @property
    def is_issue(self) -> bool:
        """Whether the median is a time to issue: a GPU waited for the host in half the samples."""
        return bool(self.issue_bound) and 2 * (self.issue_bound or 0) >= len(self.samples_ns)

    @property
    def waited_ns(self) -> tuple[int, ...]:
        """What whoever asks waits for each sample: the device, or the host that issues to it."""
        if len(self.host_ns) != len(self.samples_ns):
            return self.samples_ns
        return tuple(map(max, self.samples_ns, self.host_ns))


class Comparison(Record):
    """Case `b` against case `a`: `ratio` is b's time over a's, below one is faster.

    `smallest` is the least change that this run could have called one, as a part of a's time.
    """

    a: str
    b: str
    ratio: float
    ci: tuple[float, float]
    p: float
    q: float
    verdict: VerdictName
    smallest: float | None = None


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
    ran_in: Place = "image"
    ceilings: tuple[Ceilings, ...] = ()
    notes: tuple[str, ...] = ()


def dumps(run: Run) -> str:
    """The file's text: the same run gives the same bytes."""
    return seal(run.model_dump(mode="json", by_alias=True))


def seal(content: Mapping[str, Any]) -> str:
    """The text of a file with `content`, whose last key `sha256` is of all the others."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return json.dumps({**rest, "sha256": _digest(rest)}, indent=1) + "\n"


def _digest(rest: Mapping[str, Any]) -> str:
    """SHA-256 of the content, whatever the order of its keys and the space between them."""
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def save(run: Run, path: Path) -> None:
    """Write `run` to `path`, whole or not at all."""
    write_atomic(path, dumps(run))


def load(path: Path) -> Run:
    """Read a result file. Raises BadInput with the reason for one that is not as it was written."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{shown(path)} cannot be read: {error}.") from None
    return loads(text, shown(path))


def loads(text: str, name: str) -> Run:
    """Parse a result file's text; `name` is how messages call it.

    Raises BadInput with the reason for a text that was cut or changed, is of another schema, or
    contradicts itself.
    """
    rest = _unsealed(text, name)
    try:
        run = Run.model_validate_json(json.dumps(rest))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            f"{name} does not follow schema {SCHEMA}: {where}: {first['msg']} "
            f"({error.error_count()} such problems)."
        ) from None
    if found := list(contradictions(run)):
        raise BadInput(f"{name} contradicts itself: {found[0]} ({len(found)} such problems).")
    return run


def _unsealed(text: str, name: str) -> dict[str, Any]:
    """The content of a result file without its digest, which was found right."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
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
    said = content.pop("sha256", None)
    if said is None:
        raise BadInput(
            f"{name} has no sha256, so nothing shows that it is as it was written.",
            hint="It is of a time when results had none, or a line is gone: measure again.",
        )
    if said != (digest := _digest(content)):
        raise BadInput(
            f"{name} was changed after it was written: its content has the SHA-256 {digest[:12]}, "
            f"and its last line says {str(said)[:12]}.",
            hint="Take the original; a result is never edited.",
        )
    return dict(content)


def contradictions(run: Run) -> Iterator[str]:
    """A sentence for each part of a run that the rest of it denies; types are right already."""
    try:
        datetime.strptime(run.utc, UTC)
    except ValueError:
        yield f"utc is {run.utc!r}, not a time like 2026-01-02T03:04:05Z"
    cases = {case.id: case for case in run.cases}
    for name, count in Counter(case.id for case in run.cases).items():
        if count > 1:
            yield f"{count} cases have the id {name!r}"
    for case in run.cases:
        yield from (f"case {case.id!r} {what}" for what in _of_case(case))
    for pair, count in Counter((found.a, found.b) for found in run.compare).items():
        if count > 1:
            yield f"{count} comparisons are of {pair}"
    for found in run.compare:
        what = _of_comparison(found, cases)
        yield from (f"the comparison of {found.b!r} with {found.a!r} {each}" for each in what)


def _of_case(case: Case) -> Iterator[str]:
    if not (case.id.isprintable() and 1 <= len(case.id.encode()) <= LONGEST_ID):
        yield f"has an id that is empty, not printable or longer than {LONGEST_ID} bytes"
    if case.status == "ok" and not case.samples_ns:
        yield "is ok and has no sample"
    if len(case.order) != len(case.samples_ns):
        yield f"has {len(case.samples_ns)} samples and {len(case.order)} places in rounds"
    for name, values in (("host_ns", case.host_ns), ("cycles", case.cycles)):
        if values and len(values) != len(case.samples_ns):
            yield f"has {len(case.samples_ns)} samples and {len(values)} {name}"
    if (case.issue_bound or 0) > len(case.samples_ns):
        yield f"has {len(case.samples_ns)} samples, {case.issue_bound} of them issue-bound"
    if not all(0 < sample < MOST for sample in case.samples_ns):
        yield "has a sample that is no time"
    if case.peak_bytes is not None and not 0 <= case.peak_bytes < MOST:
        yield f"has a peak of {case.peak_bytes} bytes"


def _of_comparison(found: Comparison, cases: Mapping[str, Case]) -> Iterator[str]:
    a, b = cases.get(found.a), cases.get(found.b)
    if a is None or b is None:
        yield f"is of a case that is not there: {found.a if a is None else found.b!r}"
        return
    if any(case.status != "ok" or min(case.samples_ns, default=0) <= 0 for case in (a, b)):
        yield "is of a case without result"
        return
    if not found.ci[0] <= found.ratio <= found.ci[1]:
        yield f"has a ratio of {found.ratio} outside its interval {found.ci}"
    # Whatever the estimator, it stays within the ratios that it is made from.
    if len(a.samples_ns) == len(b.samples_ns):
        ratios = [y / x for x, y in zip(a.samples_ns, b.samples_ns, strict=True)]
    else:
        ratios = [min(b.samples_ns) / max(a.samples_ns), max(b.samples_ns) / min(a.samples_ns)]
    if not min(ratios) * (1 - 1e-9) <= found.ratio <= max(ratios) * (1 + 1e-9):
        yield f"has a ratio of {found.ratio}, which its samples do not give"
