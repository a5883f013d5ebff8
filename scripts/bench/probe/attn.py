"""Suite `attn`: the web UI's attention optimizations on the attention calls of its models.

For each shape and type: every backend is held against float64 and warmed up, then all that agree
are timed in rounds of random order until the intervals are narrow or the shape's time is over.
Backend `sdp` runs twice in every round: the pair tells how far two equal things seem apart. Tensors
are used again and again, so caches are hot, unless cold ones were asked for.

On a CPU a call has returned when it is done, so host time and sample are the same clock; on CUDA
`samples_ns` is the GPU's time between two events and `host_ns` the time to issue the calls.
"""

import time
from dataclasses import asdict

import torch

from . import attn_timing, ceilings, memory, parity, watching
from . import device as machine
from .attn_job import JobRun, Place, Settings
from .attn_plan import Device, budget_s, budget_shares, jobs
from .records import Emitter, progress
from .roofline import Ceilings, data_sheet

OVERDRAFT = 0.2
"""Part of the later shapes' time that a shape may use up when it has not yet done the rounds that
it needs at least."""


def run(settings: Settings, emitter: Emitter, started: float) -> None:
    """Measure every shape; `started` is the time.monotonic() at which the budget began."""
    device: Device = "cuda" if torch.cuda.is_available() else "cpu"
    choice = settings.choice
    watch, notes = watching.begin("attn", device, beside=settings.processes - 1)
    head = machine.header()
    whole = jobs(choice, device)
    shared = zip(whole, budget_shares(whole, device), strict=True)
    left_over = [(job, share) for job, share in shared if job.key not in settings.skip]
    plan, shares = [job for job, _ in left_over], [share for _, share in left_over]
    total = settings.base_s if settings.exact else budget_s(choice, device, settings.base_s)
    emitter.emit(
        "header",
        {**head, "suite": "attn", "device": device, "seed": settings.seed, "notes": notes},
    )
    if device == "cpu":
        memory.limit_to_free(processes=settings.processes)
    with torch.inference_mode():
        gpu = head["gpu"]["name"] if head["gpu"] else None
        dtypes = dict.fromkeys(job.dtype for job in plan)
        known = {
            # Another process may be at work meanwhile: ceilings would be too low.
            dtype: None if settings.pace else _ceilings(device, dtype, gpu, emitter)
            for dtype in dtypes
        }
        evict = attn_timing.evictor(device) if choice.cold else None
        place = Place(device, settings, emitter, watch, known, evict)
        end = started + total * sum(shares)
        for index, job in enumerate(plan):
            left = max(end - time.monotonic(), 0.0) * shares[index] / sum(shares[index:])
            if settings.pace:  # the time that goes by is not this run's own
                if not settings.pace.allows("shape"):
                    break
                left = total * shares[index]
            progress(f"attn {index + 1}/{len(plan)} {job.shape.name} {job.dtype}: {left:.0f} s")
            latest = end - (1 - OVERDRAFT) * total * sum(shares[index + 1 :])
            JobRun(job, place, left, latest).run()
    emitter.emit("final", {"seconds": round(time.monotonic() - started, 3)})


def _ceilings(device: Device, dtype: str, gpu: str | None, emitter: Emitter) -> Ceilings | None:
    """Measure and emit the ceilings of a type; the data sheet's where that fails."""
    try:
        found: Ceilings | None = ceilings.measure(device, dtype)
    except Exception as error:  # an old CPU has no product of halves
        progress(f"attn: ceilings of {dtype} not measured ({', '.join(parity.explain(error))})")
        found = data_sheet(gpu, dtype)
    if found is not None:
        emitter.emit("ceilings", {"dtype": dtype, **asdict(found)})
    return found
