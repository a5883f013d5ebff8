"""Suite `image`: drives the web UI's API on loopback, from inside its own container.

Standard library only. The host chooses what to ask for and reads the container's log, where the
web UI says which optimization it applied; this module asks and times.

For each set of pictures every backend first draws it in one step, which tells its memory and
whether it can; then all that can are timed in rounds of random order, the first of them twice in
each: the A/A pair. Every timed picture follows another of its size under the same optimization,
which after a switch is one of one step.

On a GPU the driver's counters are read around each round, as in the other suites.
"""

import base64
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from . import first_gpu, nvml, rounds
from .attn_plan import Device
from .image_plan import LADDER, STRETCH, Pictures, SizeName, drawn, first_of, planned, shares
from .records import Emitter, progress
from .rounds import AGAIN
from .samples import Sample, round_record
from .webui import TITLES, Api, Refused, dtype_of, on_gpu
from .webui_memory import Reserved, Resident, Unknown, memory_of

WARM_UP = 1.5
"""A timed picture with its warm-up of one step, which takes half as long at most."""
DTYPE_NOTE = (
    "image: the web UI ran in {dtype}; its types are options of its start (--no-half, --precision; "
    "it has no bfloat16), so no other was run"
)


@dataclass(frozen=True)
class Plan:
    """What is measured: names of TITLES, and how; `base_s` in seconds.

    That is the default's on a CPU, or with `exact` that of this run. `skip` are names of pictures
    that were measured before.
    """

    backends: tuple[str, ...]
    seed: int
    least_rounds: int
    base_s: float
    size: SizeName = "default"
    exact: bool = False
    skip: tuple[str, ...] = ()


def pixels_digest(pngs: Sequence[bytes]) -> str:
    """SHA-256 of the PNGs' header and pixel chunks: their text chunks do not count."""
    digest = hashlib.sha256()
    for png in pngs:
        at = 8
        while at < len(png):
            length = int.from_bytes(png[at : at + 4], "big")
            kind = png[at + 4 : at + 8]
            if kind in (b"IHDR", b"IDAT"):
                digest.update(png[at + 8 : at + 8 + length])
            at += 12 + length
    return digest.hexdigest()


def largest(api: Api, plan: Plan, budget_s: float) -> tuple[int, int]:
    """The largest of LADDER that `budget_s` is enough for, by one picture of each.

    Enough is all rounds of the plain picture in its share, and one round of all others, if their
    work foretells their time, in the rest. A size is not even tried where pixels and steps (two
    more, for text and decoding) foretell four times the time: small pictures have costs of their
    own, so that forecast is high.
    """
    first, *others = planned(plan.size, *LADDER[0])
    share, rest = shares([first, *others])[0], sum(each.work / first.work for each in others)
    cases = len(plan.backends) + 1
    # With those of one step by which each backend is tried.
    pictures_s = min(
        budget_s * share / (WARM_UP * cases * plan.least_rounds),
        budget_s * (1 - share) / ((WARM_UP + 0.5) * cases * rest) if others else float("inf"),
    )
    api.draw(plan.seed, replace(first, steps=1))
    chosen, taken = LADDER[0], api.draw(plan.seed, first)[0] / 1e9
    for side, steps in LADDER[1:]:
        growth = (side / chosen[0]) ** 2 * (steps + 2) / (chosen[1] + 2)
        if taken * growth > 4 * pictures_s:
            break
        taken = api.draw(plan.seed, Pictures(side, steps))[0] / 1e9
        if taken > pictures_s:
            break
        chosen = (side, steps)
    return chosen


def run(api: Api, plan: Plan, emitter: Emitter) -> None:
    """Draw the same pictures with every backend; emit each record when it is there.

    Raises Refused where the first backend draws not even the smallest picture.
    """
    begun = time.monotonic()
    device: Device = "cuda" if on_gpu(api) else "cpu"
    budget_s = plan.base_s if plan.exact else plan.base_s * STRETCH.get((plan.size, device), 1.0)
    plan = replace(plan, size=drawn(plan.size, device))
    dtype = dtype_of(api)
    api.select(TITLES[plan.backends[0]])
    memory = memory_of(api)
    watch, watched = _watch(device)
    if plan.skip:
        # What was begun with one size goes on with it, however long a picture takes today.
        side, steps = first_of(plan.skip[0])
    else:
        side, steps = largest(api, plan, budget_s)
    whole = planned(plan.size, side, steps)
    todo = [
        (pictures, share)
        for pictures, share in zip(whole, shares(whole), strict=True)
        if pictures.name not in plan.skip
    ]
    notes = [f"image: peak memory: {memory.source}", *watched]
    if dtype is not None:
        notes.append(DTYPE_NOTE.format(dtype=dtype))
    emitter.emit("plan", {"reference": plan.backends[0], "dtype": dtype, "notes": notes})
    end = begun + budget_s * sum(share for _, share in todo)
    for index, (pictures, share) in enumerate(todo):
        now = time.monotonic()
        left = max(end - now, 0.0) * share / sum(each for _, each in todo[index:])
        progress(f"image {index + 1}/{len(todo)} {pictures.name}: {left:.0f} s")
        # The plain picture has a round, whatever the time: without it there is nothing to tell.
        latest = end if pictures.name != whole[0].name else float("inf")
        _PicturesRun(pictures, api, plan, emitter, memory, watch).run(now + left, latest)
    emitter.emit("final", {"seconds": round(time.monotonic() - begun, 3)})


def _watch(device: Device) -> tuple[nvml.Watch | None, list[str]]:
    """The watch on the GPU that the web UI draws on, and what to note; none on a CPU."""
    if device != "cuda":
        return None, []
    watch, what = nvml.watch(first_gpu.identifier() or "0")
    # The web UI is there already, by an id that the driver may not tell as it is known here.
    told = [] if watch is None else watch.begin(lambda: None, beside=1)
    notes = [f"image: {each}" for each in (what, *told)]
    for note in notes:
        progress(note)
    return watch, notes


class _PicturesRun:
    """One set of pictures: which backends can draw it, and their rounds."""

    def __init__(
        self,
        pictures: Pictures,
        api: Api,
        plan: Plan,
        emitter: Emitter,
        memory: Resident | Reserved | Unknown,
        watch: nvml.Watch | None = None,
    ) -> None:
        self.pictures, self.api, self.plan = pictures, api, plan
        self.emitter, self.memory, self.watch = emitter, memory, watch
        self.samples: dict[str, list[int]] = {}
        self.sent: set[str] = set()
        self.tried_s: list[float] = []
        self.applied: str | None = None
        """The backend that drew last, at this size."""
        self.kept = 0
        self.warming = self.inside = self.spent = 0.0
        """Seconds of the rounds: in switches and warm-up, in timed pictures, and all."""

    def run(self, due: float, latest: float) -> None:
        """Try each backend, then time those that can; moments of time.monotonic() in seconds.

        A round that would end after `due` is not begun, but for the first, which has till `latest`.
        """
        key = self.pictures.name
        self.emitter.emit("shape", {"key": key, **self.pictures.as_json()})
        late = None
        for backend in self.plan.backends:
            late = late or self._too_late(latest)
            if late is None:
                self._try(backend)
            else:
                self._case(backend, "discarded", late)
        if late is None:
            self._rounds(due)
        elif self.samples:  # those that were tried before the time was over
            for backend in {name.removesuffix(AGAIN): None for name in self.samples}:
                self._case(backend, "discarded", late)
            self.samples.clear()
        self.emitter.emit("shape_end", {"shape": key, "reasons": self._reasons(), **self._shares()})

    def _too_late(self, latest: float) -> str | None:
        """Why there is no time for a round of all backends, by the faster pictures of one step.

        One alone may have met a pause of the machine.
        """
        left = latest - time.monotonic()
        if left <= 0:
            return "no time left"
        if len(self.tried_s) < 2:
            return None
        steps = (self.pictures.steps + 2) / 3
        needed = min(self.tried_s) * (2 + steps) * (len(self.plan.backends) + 1)
        return None if needed <= left else f"no time was left for a round, of about {needed:.0f} s"

    def _names(self, backend: str) -> tuple[str, ...]:
        """The cases of a backend: the first one has two."""
        return (backend, backend + AGAIN) if backend == self.plan.backends[0] else (backend,)

    def _case(self, backend: str, status: str, reason: str | None, peak: int | None = None) -> None:
        for name in self._names(backend):
            self._say(name, status, reason, peak)

    def _say(self, name: str, status: str, reason: str | None, peak: int | None = None) -> None:
        """Emit a case; a later one of the same name takes its place."""
        if reason is not None:
            progress(f"  {name}: {status}: {reason[:90]}")
        case = {"status": status, "reason": reason, "peak_bytes": peak}
        self.emitter.emit("case", {"shape": self.pictures.name, "backend": name, **case})

    def _try(self, backend: str) -> None:
        """Draw in one step: its memory is that of all steps, which follow one another."""
        once = replace(self.pictures, steps=1)
        try:
            self.api.select(TITLES[backend])
            (ns, _), peak = self.memory.around(lambda: self.api.draw(self.plan.seed, once))
        except Refused as error:
            self._case(backend, _status(error), str(error))
            return
        self.tried_s.append(ns / 1e9)
        self.samples.update((name, []) for name in self._names(backend))
        self._case(backend, "ok", None, peak)

    def _rounds(self, due: float) -> None:
        """Time all that can draw, until the ratios are known well or the time is over."""
        index, longest = 0, 0.0
        while self.samples:
            begun = time.monotonic()
            self._round(index)
            index += 1
            now = time.monotonic()
            longest = max(longest, now - begun)
            self.spent += now - begun
            if done(self.samples, self.kept, self.plan) or now + longest > due:
                break

    def _round(self, index: int) -> None:
        """Time every case once; a round in which the GPU was slowed down does not count."""
        before = None if self.watch is None else self.watch.read()
        order = rounds.order(list(self.samples), self.plan.seed, self.pictures.name, index)
        taken: dict[str, Sample] = {}
        clocks: dict[str, int | None] = {}
        for position, name in enumerate(order):
            sample, clock = self._sample(name, index, position)
            if sample is not None:
                taken[name], clocks[name] = sample, clock
        watch = self.watch
        seen = {} if watch is None or before is None else nvml.between(before, watch.read())
        why = nvml.slowdown(seen)
        if why is None:
            self.kept += 1
            for name, sample in taken.items():
                self.samples[name].append(sample.device_ns)
        told = round_record(order, taken, clocks, seen, why)
        self.emitter.emit("round", {"shape": self.pictures.name, "round": index, **told})

    def _switch(self, backend: str) -> None:
        """Apply an optimization, and warm it up by a picture of one step, if it is not the last's.

        Raises Refused.
        """
        if backend == self.applied:
            return
        begun = time.monotonic()
        self.applied = None
        self.api.select(TITLES[backend])
        self.api.draw(self.plan.seed, replace(self.pictures, steps=1))
        self.applied = backend
        self.warming += time.monotonic() - begun

    def _sample(self, name: str, index: int, position: int) -> tuple[Sample | None, int | None]:
        """One timed request and the SM clock meanwhile, in MHz.

        A backend that fails now ends its case only, and has None.
        """
        draw = partial(self.api.draw, self.plan.seed, self.pictures)
        try:
            self._switch(name.removesuffix(AGAIN))
            (taken, pngs), clock = nvml.clocked(self.watch, draw)
        except Refused as error:
            self.applied = None
            self._say(name, _status(error), str(error))
            del self.samples[name]
            return None, None
        self.inside += taken / 1e9
        digest = pixels_digest(pngs)
        fresh = digest not in self.sent
        self.sent.add(digest)
        self.emitter.emit(
            "image",
            {
                "shape": self.pictures.name,
                "backend": name,
                "round": index,
                "position": position,
                "ns": taken,
                "pixels": digest,
                "png": base64.b64encode(pngs[0]).decode() if fresh else None,
            },
        )
        return Sample(taken, taken), clock

    def _shares(self) -> dict[str, float]:
        """Parts of the rounds' time: warming up, and what was neither that nor a timed picture."""
        if not self.spent:
            return {}
        return {
            "outside_share": rounds.outside_share(self.inside + self.warming, self.spent),
            "warmup_share": round(self.warming / self.spent, 6),
        }

    def _reasons(self) -> dict[str, str | None]:
        least = self.plan.least_rounds
        return {
            name: rounds.shortfall(width, len(self.samples[name]), least)
            for name, width in rounds.half_widths(self.samples, self.plan.backends[0])
        }


def _status(error: Refused) -> str:
    return "oom" if "out of memory" in str(error).lower() else "unsupported"


def done(samples: Mapping[str, Sequence[int]], index: int, plan: Plan) -> bool:
    """Whether enough rounds were run, and every ratio is known well."""
    return rounds.is_precise(samples, plan.backends[0], index, plan.least_rounds)
