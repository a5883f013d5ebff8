"""`attention = "auto"` of a profile: the option that the committed results speak for.

The choice follows from files of this repository alone: it is the same on every machine, and a build
that takes it can be repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import fsum, log
from pathlib import Path

from scripts.bench.advise.advice import DEFAULT, Ratio, advised, against_sdp
from scripts.bench.advise.evidence import SUITES, Evidence, Setting, gathered
from scripts.bench.schema import Run, load
from scripts.lock import facts, hub
from scripts.lock.lockfile import locked
from scripts.workspace.model import Optimization, Profile, Workspace
from scripts.workspace.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
ON_CPU = "--use-cpu"
WITHOUT_HALF = "--no-half"


@dataclass(frozen=True)
class Chosen:
    """The option that an image starts the web UI with; without `reason` a person wrote it."""

    option: Optimization
    reason: str = ""

    def told(self) -> str:
        """The option and why, for a person; empty for one that a person wrote."""
        return f"{self.option}, because: {self.reason}" if self.reason else ""


@cache
def _loaded(folder: Path) -> tuple[Run, ...]:
    return tuple(load(path) for path in sorted(folder.glob("*/runs/*.json")))


def committed() -> tuple[Run, ...]:
    """Return every recorded run of every device. Raises BadInput for a file that was changed."""
    return _loaded(BENCHMARKS)


def resolved(workspace: Workspace, name: str) -> Chosen:
    """Return what a profile's `attention` comes to. Raises BadInput for damaged results."""
    profile = workspace.profile(name)
    if profile.attention != "auto":
        return Chosen(profile.attention)
    lock = locked(f"webui-{profile.stack}-py{profile.python}")
    return chosen(profile, {pin.name: pin.version for pin in lock}, committed())


def chosen(profile: Profile, versions: Mapping[str, str], runs: Sequence[Run]) -> Chosen:
    """Return the option that every device of a profile speaks for, or sdp.

    `versions` are those that the profile is locked to: runs with another torch or xformers say
    nothing about it.
    """
    gpus = _gpus(profile)
    if not gpus and ON_CPU not in profile.options:
        return Chosen(DEFAULT, "the profile names no device, by hub or --use-cpu")
    dtype = "float32" if WITHOUT_HALF in profile.options else "float16"
    known: dict[str, list[Chosen]] = {}
    for where, evidence in gathered(run for run in runs if _fits(run, versions)).items():
        steps = _strongest(evidence, dtype)
        if steps and (where.device in gpus if gpus else not where.is_gpu):
            known.setdefault(where.device, []).append(_of_device(where, steps))
    lacking = [gpu for gpu in gpus if gpu not in known]
    if lacking or not known:
        stack = f"torch {versions.get('torch')}, xformers {versions.get('xformers')} in {dtype}"
        devices = ", ".join(lacking) or "any CPU"
        return Chosen(DEFAULT, f"no committed result of {devices} with {stack}")
    every = [each for found in known.values() for each in found]
    reason = "; ".join(each.reason for each in every)
    options = {each.option for each in every}
    if len(options) > 1:
        return Chosen(DEFAULT, f"its devices do not agree: {reason}")
    return Chosen(options.pop(), reason)


def _gpus(profile: Profile) -> tuple[str, ...]:
    """The GPUs that a profile may run on, as torch names them; none without a hub.json."""
    if profile.hub is None:
        return ()
    pools = hub.read(ROOT / profile.hub, facts.load()).gpus.values()
    return tuple(gpu for pool in pools for gpu in pool)


def _fits(run: Run, versions: Mapping[str, str]) -> bool:
    """Whether a run had the locked versions, whatever they were built for (2.1.2+cu121)."""
    taken = {"torch": run.sw.torch, "xformers": run.sw.xformers}
    return all(
        name in versions and _public(taken[name] or "") == _public(versions[name]) for name in taken
    )


def _public(version: str) -> str:
    return version.partition("+")[0]


def _strongest(evidence: Sequence[Evidence], dtype: str) -> list[Evidence]:
    """What the first of SUITES knows of whole steps in this type, or in the web UI's own."""
    steps = [
        each
        for each in evidence
        if each.workload.dtype in (dtype, None) and not each.missing and each.options()
    ]
    of_suite = ([each for each in steps if each.suite == suite] for suite in SUITES)
    return next((found for found in of_suite if found), [])


def _of_device(where: Setting, steps: Sequence[Evidence]) -> Chosen:
    """The option that is FASTER than sdp somewhere, and FASTER or SAME everywhere; else sdp.

    Of several it is the one with the least geometric mean of its times over sdp's.
    """
    found = [against_sdp(each) for each in steps]
    able = [name for name in dict.fromkeys(n for each in found for n in each) if _able(name, found)]
    told = f"{where.device}: {_told(steps)}"
    if able:
        best = min(able, key=lambda name: fsum(log(each[name].value) for each in found))
        return Chosen(best, f"{told}: {best} is FASTER than sdp, and SLOWER nowhere")
    if all(advised(each).decided and advised(each).option == DEFAULT for each in steps):
        return Chosen(DEFAULT, f"{told}: nothing is FASTER than sdp")
    return Chosen(DEFAULT, f"{told}: no other is FASTER without being SLOWER or INCONCLUSIVE too")


def _able(option: Optimization, found: Sequence[Mapping[Optimization, Ratio]]) -> bool:
    words = [each[option].verdict if option in each else None for each in found]
    return "FASTER" in words and all(word in ("FASTER", "SAME") for word in words)


def _told(steps: Sequence[Evidence]) -> str:
    """The evidence in words: what was measured, and in which runs."""
    names = [f"{each.workload}{' (scaled)' if each.scaled else ''}" for each in steps]
    runs = " and ".join(dict.fromkeys(each.run_id for each in steps))
    alone = " (attention alone)" if steps[0].suite == "attn" else ""
    return f"{steps[0].suite}{alone} of {', '.join(names)} in run {runs}"
