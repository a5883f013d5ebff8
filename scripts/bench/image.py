"""Suite `image`: the same picture with every optimization, through the running web UI's API."""

import io
import math
import re
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import docker
import numpy as np
from docker.errors import APIError
from docker.models.containers import Container
from numpy.typing import NDArray
from PIL import Image

from scripts.bench import cases, container, stats
from scripts.bench.probe.first_gpu import ORDER
from scripts.bench.probe.rounds import AGAIN
from scripts.bench.schema import Case, Difference, Status
from scripts.bench.suite import Measured, RawRecord, Settings, Sink
from scripts.workspace.cli import say
from scripts.workspace.errors import Failure

BACKENDS = (
    "sdp",
    "sdp-no-mem",
    "xformers",
    "Doggettx",
    "sub-quadratic",
    "V1",
    "InvokeAI",
    "naive",
)
READY_S = 600.0
LOG_WAIT_S = 3.0
# The web UI's supervisor: it starts the web UI, proves it ready, and serves no jobs. The GPU that
# it draws on is the one that is watched.
ENVIRONMENT = {"SDKILN_WEBUI_ONLY": "1", **ORDER}

_APPLIED = re.compile(r"Applying attention optimization: (?P<name>\S+?)\.\.\.")
_DISABLED = "Disabling attention optimization"
_NOTHING = "naive"


class WebUi(Protocol):
    """A web UI that runs: how to have the probe ask it, and what it has printed."""

    def probe(self, *arguments: str) -> Iterator[RawRecord]:
        """Run the probe beside the web UI and yield its records."""

    def log(self) -> str:
        """All that the web UI has printed so far."""


class InContainer:
    """The web UI of the built image, started by the image's own entrypoint."""

    def __init__(self, client: docker.DockerClient, made: Container) -> None:
        """Take a container that was started."""
        self._client, self._container = client, made

    def probe(self, *arguments: str) -> Iterator[RawRecord]:
        """Run the probe inside the container. Raises Failure with the log's end if it fails."""
        code: dict[str, int] = {}
        error = None
        try:
            for record in container.exec_probe(self._client, self._container, arguments, code):
                if record["record"] == "error":
                    error = record["reason"]
                else:
                    yield record
        except APIError as gone:
            error = f"the container has ended ({gone.explanation})"
        if error is None and code.get("exit") != 0:
            error = f"its driver exited with {code.get('exit')}"
        if error is not None:
            raise Failure(
                f"suite image: {self._ended() or error}.",
                hint="The web UI's last lines:\n" + "\n".join(self.log().splitlines()[-15:]),
            )

    def _ended(self) -> str | None:
        """That the container is gone, which explains whatever else was seen; None if it runs."""
        self._container.reload()
        state = self._container.attrs["State"]
        if state["Running"]:
            return None
        return f"the web UI's container ended with exit code {state['ExitCode']}"

    def log(self) -> str:
        """The container's stdout and stderr."""
        return str(self._container.logs().decode(errors="replace"))


def run(client: docker.DockerClient, image: str, settings: Settings, into: Sink) -> None:
    """Start the image's web UI and measure it; records go into `into` as they come.

    Raises Failure where it does not get ready, or fails.
    """
    mounted = settings.packages
    with container.created(client, image, environment=ENVIRONMENT, packages=mounted) as made:
        made.start()
        say("image: starting the web UI")
        webui = InContainer(client, made)
        _to(into, webui.probe("header"))
        measure(webui, settings, into)


def measure(webui: WebUi, settings: Settings, into: Sink) -> None:
    """Wait for a first picture, find out what can be applied, then time that in rounds."""
    _to(into, webui.probe("ready", "--timeout", str(READY_S)))
    usable = []
    for backend in BACKENDS:
        found = select(webui, backend)
        into.append({"record": "backend", "backend": backend, **found})
        if found["status"] == "ok":
            usable.append(backend)
    if not usable:
        raise Failure("suite image: the web UI applied none of the optimizations it was asked for.")
    arguments = ["--backends", ",".join(usable), "--seed", str(settings.seed)]
    arguments += ["--rounds", str(settings.rounds), "--budget", str(settings.budget_s)]
    arguments += ["--size", settings.choice.size]
    arguments += ["--exact"] if settings.exact else []
    arguments += ["--skip", ",".join(settings.skip)] if settings.skip else []
    _to(into, webui.probe("image", *arguments))


def _to(into: Sink, records: Iterator[RawRecord]) -> None:
    for record in records:
        into.append(record)


def select(webui: WebUi, backend: str) -> dict[str, Any]:
    """Switch to `backend` and find out, from the web UI's log, what it really applied.

    Asked for what it does not offer, AUTOMATIC1111 answers 200 and applies another: only its log
    tells. A refusal is told as the web UI words it.
    """
    before = len(applied(webui.log()))
    try:
        for _ in webui.probe("select", backend):
            pass
    except Failure as failure:
        return {"status": "unavailable", "applied": None, "reason": failure.message}
    names = _poll(lambda: applied(webui.log())[before:])
    if not names:
        reason = "the web UI's log does not say which optimization it applied"
        return {"status": "ok", "applied": None, "reason": reason}
    if names[-1] != backend:
        reason = f"asked for {backend}, the web UI applied {names[-1]}"
        return {"status": "unavailable", "applied": names[-1], "reason": reason}
    return {"status": "ok", "applied": backend, "reason": None}


def _poll(look: Callable[[], list[str]]) -> list[str]:
    """Look until there is something: the log is written by another process."""
    end = time.monotonic() + LOG_WAIT_S
    while not (seen := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return seen


def applied(log: str) -> list[str]:
    """The optimizations that the web UI says it applied, in order; `naive` for none."""
    names = []
    for line in log.splitlines():
        if match := _APPLIED.search(line):
            names.append(match["name"])
        elif _DISABLED in line:
            names.append(_NOTHING)
    return names


def evaluate(records: Sequence[RawRecord], seed: int) -> Measured:
    """Cases and comparisons from the driver's records, also from those of a run cut short."""
    measured = Measured()
    measured.header = next((r for r in records if r["record"] == "header"), None)
    plan = next((r for r in records if r["record"] == "plan"), None)
    backends = {r["backend"]: r for r in records if r["record"] == "backend"}
    if plan is None:
        found = [_Pictures({"name": "txt2img"}, None, backends, [])]
    else:
        measured.notes = list(plan["notes"])
        found = [
            _Pictures(shape, plan, backends, [r for r in records if r.get("shape") == shape["key"]])
            for shape in (r for r in records if r["record"] == "shape")
        ]
    pairs: list[stats.Pair] = []
    for each in found:
        made = {name: each.case(name) for name in each.names}
        measured.cases += made.values()
        samples = {case.id: case.samples_ns for case in made.values() if case.status == "ok"}
        clocked = {case.id: case.cycles for case in made.values()}
        reference = made.get(each.reference or "")
        if reference is not None and reference.id in samples:
            again = made[f"{each.reference}{AGAIN}"].id
            twice = again if again in samples else None
            pairs += stats.pairs_of(samples, reference.id, twice, clocked)
    measured.compare = stats.compare(pairs, seed)
    return measured


class _Pictures:
    """What was recorded of one set of pictures, drawn with every backend."""

    def __init__(
        self,
        shape: RawRecord,
        plan: RawRecord | None,
        backends: Mapping[str, RawRecord],
        records: Sequence[RawRecord],
    ) -> None:
        self.reference: str | None = None if plan is None else plan["reference"]
        self.dtype: str | None = None if plan is None else plan["dtype"]
        self.shape = {key: value for key, value in shape.items() if key not in ("record", "key")}
        self._backends = backends
        self._records = records
        self._end = next((r for r in records if r["record"] == "shape_end"), None)
        self.shape |= cases.shares(self._end or {})
        self._rounds = [r for r in records if r["record"] == "round"]
        images = [r for r in records if r["record"] == "image"]
        self._pngs = {r["pixels"]: r["png"] for r in images if r["png"] is not None}

    @property
    def names(self) -> list[str]:
        """Every backend, the reference twice."""
        again = [] if self.reference is None else [self.reference + AGAIN]
        return [*self._backends, *again]

    def case(self, name: str) -> Case:
        """One backend's case."""
        backend = self._backends[name.removesuffix(AGAIN)]
        mine = [r for r in self._records if r.get("backend") == name]
        drawn = [r for r in mine if r["record"] == "image"]
        tried = [r for r in mine if r["record"] == "case"]
        rounds = [r for r in self._rounds if name in r["samples_ns"]]
        kept = [r for r in rounds if not r["discarded"]]
        slowed = {r["round"] for r in rounds if r["discarded"]}
        taken = [r for r in drawn if r["round"] not in slowed]
        samples = [image["ns"] for image in taken]
        status, reason = self._outcome(name, backend, tried, taken, rounds)
        return Case(
            id="/".join(filter(None, ("image", self.shape["name"], self.dtype, name))),
            suite="image",
            shape=self.shape,
            dtype=self.dtype,
            requested=name.removesuffix(AGAIN),
            resolved_kernel=backend["applied"],
            status=status,
            reason=reason,
            samples_ns=tuple(samples),
            order=tuple(image["position"] for image in taken),
            host_ns=tuple(samples),
            # A round that was cut short has pictures, and no record of its clock.
            cycles=cases.cycles(name, kept) if len(samples) == len(kept) else (),
            nvml=tuple(r["nvml"] for r in kept if r["nvml"]),
            discarded=cases.discarded(name, rounds),
            peak_bytes=tried[0]["peak_bytes"] if tried else None,
            bitwise=len({image["pixels"] for image in drawn}) == 1 if len(drawn) > 1 else None,
            difference=self._difference(name, drawn),
        )

    def _outcome(
        self,
        name: str,
        backend: RawRecord,
        tried: Sequence[RawRecord],
        taken: Sequence[RawRecord],
        rounds: Sequence[RawRecord],
    ) -> tuple[Status, str | None]:
        if backend["status"] != "ok":
            return backend["status"], backend["reason"]
        if tried and tried[-1]["status"] != "ok":
            return tried[-1]["status"], tried[-1]["reason"]
        if not taken:
            return "discarded", cases.untimed(rounds)
        short = f"noisy: the run ended after {len(taken)} rounds"
        if self._end is not None:
            short = self._end["reasons"].get(name)
        kept = [r for r in rounds if not r["discarded"]]
        told = [backend["reason"], short, *cases.remarks(rounds, kept)]
        return "ok", "; ".join(filter(None, told)) or None

    def _difference(self, name: str, taken: Sequence[RawRecord]) -> Difference | None:
        """How the first picture differs from the reference's first; None without either."""
        first = next(
            (r for r in self._records if r["record"] == "image" and r["backend"] == self.reference),
            None,
        )
        if first is None or not taken or name == self.reference:
            return None
        a, b = (pixels(b64decode(self._pngs[r["pixels"]])) for r in (first, taken[0]))
        return difference(str(self.reference), a, b)


def pixels(png: bytes) -> NDArray[np.int16]:
    """The picture's values, (height, width, 3)."""
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16)


def difference(against: str, a: NDArray[np.int16], b: NDArray[np.int16]) -> Difference:
    """Largest and mean difference of two pictures of one size, and their PSNR for a peak of 255.

    PSNR is 10*log10(peak^2 / mean squared error), in decibels.
    """
    apart = np.abs(a - b)
    squared = float(np.mean(apart.astype(np.float64) ** 2))
    psnr = 10 * math.log10(255**2 / squared) if squared else None
    return Difference(
        against=against, max_abs=int(apart.max()), psnr_db=psnr, mean_abs=float(np.mean(apart))
    )
