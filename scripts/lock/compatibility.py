"""Do a profile's stack, its target GPUs and the drivers of its hosts fit together? Offline."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from scripts.bench.advise import auto
from scripts.lock import facts as known
from scripts.lock import hub as hubs
from scripts.lock.facts import Facts, Reach, Version, Wheel
from scripts.lock.hub import Hub
from scripts.lock.lockfile import pins, read
from scripts.workspace.model import Attention, Profile, Workspace
from scripts.workspace.paths import LOCKFILES, ROOT, shown

# A target: its GPU pool, the GPU, and the GPU's compute capability.
Gpu = tuple[str, str, Version]


def check(workspace: Workspace) -> list[str]:
    """Return the warnings of every profile that has a hub.json, from the locks as they are now.

    Raises BadInput for a hub.json or facts that cannot be read, and for a lock that is missing or
    damaged.
    """
    found = []
    for name, profile in workspace.profiles.items():
        if profile.hub is not None:
            lock = read(LOCKFILES / f"webui-{profile.stack}-py{profile.python}.txt")
            versions = {pin.name: pin.version for pin in pins(lock.body)}
            hub = hubs.read(ROOT / profile.hub, known.load())
            found += warnings(workspace, name, versions, hub, known.load())
    return found


def warnings(
    workspace: Workspace, name: str, versions: Mapping[str, str], hub: Hub, facts: Facts
) -> list[str]:
    """Return a sentence for each thing that does not fit: what, why, and what to change.

    `versions` are those of the packages that the profile's stack is locked to.
    """
    profile = workspace.profile(name)
    gpus = [(pool, gpu, facts.gpus[gpu]) for pool, ids in hub.gpus.items() for gpu in ids]
    sentences = list(_unknown("torch", versions, facts.torch))
    sentences += _unknown("xformers", versions, facts.xformers)
    torch = facts.torch.get(versions.get("torch", ""))
    if torch is not None:
        sentences += _torch(torch, versions["torch"], gpus, hub, facts)
        # Where torch does not run, nothing does: the rest is about the other GPUs.
        gpus = [gpu for gpu in gpus if torch.reach(gpu[2]) is not Reach.NONE]
        used = [(torch, gpus)]
        xformers = facts.xformers.get(versions.get("xformers", ""))
        if _attention(profile, versions) == "xformers":
            sentences += _beyond(gpus, hub, facts)
            if xformers is not None:
                first, last = facts.webui.xformers
                inside = [gpu for gpu in gpus if first <= gpu[2] <= last]
                sentences += _xformers(xformers, versions["xformers"], inside, hub)
                used.append((xformers, inside))
        compiled = [
            wheel for wheel, on in used if any(wheel.reach(gpu[2]) is Reach.COMPILED for gpu in on)
        ]
        if gpus:
            sentences += _hosts(torch, versions["torch"], compiled, gpus, hub, facts)
    return [f"profile {name}, stack {profile.stack}: {sentence}" for sentence in sentences]


def _attention(profile: Profile, versions: Mapping[str, str]) -> Attention:
    if profile.attention != "auto":
        return profile.attention
    return auto.chosen(profile, versions, auto.committed()).option


def _unknown(
    package: str, versions: Mapping[str, str], wheels: Mapping[str, Wheel]
) -> Iterator[str]:
    if package not in versions:
        yield f"the lock has no {package}, so nothing can be said of where it runs."
    elif versions[package] not in wheels:
        yield (
            f"{package} {versions[package]} is not in {shown(known.FILE)}, so whether it fits the "
            "GPUs and drivers is not known. Add its row, read from the wheel."
        )


def _torch(
    torch: Wheel, version: str, gpus: Sequence[Gpu], hub: Hub, facts: Facts
) -> Iterator[str]:
    without = [gpu for gpu in gpus if torch.reach(gpu[2]) is Reach.NONE]
    if without:
        able = [
            other
            for other, wheel in facts.torch.items()
            if all(wheel.reach(gpu[2]) is not Reach.NONE for gpu in without)
        ]
        others = f" (torch {', '.join(able)} has)" if able else ""
        yield (
            f"torch {version} has no code for {_names(without, hub)} and no PTX to compile: every "
            "kernel fails with `no kernel image is available`, and the worker never gets ready. "
            f"{_remove(without, hub)}, or use a stack whose torch has code for it{others}."
        )
    if slow := [gpu for gpu in gpus if torch.reach(gpu[2]) is Reach.COMPILED]:
        yield _compiling("torch", version, slow, hub)


def _beyond(gpus: Sequence[Gpu], hub: Hub, facts: Facts) -> Iterator[str]:
    first, last = facts.webui.xformers
    if beyond := [gpu for gpu in gpus if not first <= gpu[2] <= last]:
        yield (
            f"attention is xformers, which the web UI uses on compute capability {first} to {last} "
            f"alone: on {_names(beyond, hub)} it runs sdp. {_remove(beyond, hub)}, or set "
            "attention to sdp for this profile."
        )


def _xformers(xformers: Wheel, version: str, used: Sequence[Gpu], hub: Hub) -> Iterator[str]:
    if without := [gpu for gpu in used if xformers.reach(gpu[2]) is Reach.NONE]:
        yield (
            f"xformers {version} has no code for {_names(without, hub)} and no PTX to compile, but "
            "attention is xformers and the web UI does use it there: every image fails. "
            f"{_remove(without, hub)}, or set attention to sdp for this profile."
        )
    if slow := [gpu for gpu in used if xformers.reach(gpu[2]) is Reach.COMPILED]:
        yield _compiling("xformers", version, slow, hub)


def _compiling(package: str, version: str, gpus: Sequence[Gpu], hub: Hub) -> str:
    return (
        f"{package} {version} has only PTX for {_names(gpus, hub)}: the driver compiles each "
        "kernel at its first use, in every new container, so the first images are slow. "
        f"{_remove(gpus, hub)}, or use a stack whose {package} has code for it."
    )


def _hosts(
    torch: Wheel,
    version: str,
    compiled: Sequence[Wheel],
    gpus: Sequence[Gpu],
    hub: Hub,
    facts: Facts,
) -> Iterator[str]:
    """Hold the drivers of the hosts against the stack: `compiled` are wheels that need their PTX.

    A driver runs what was built for its own CUDA version or any older one (backward compatibility),
    and machine code of a newer one of the same major (minor version compatibility), but it does
    not compile the PTX of a newer one.
    """
    key = f"config.allowedCudaVersions in {hub.file}"
    major = torch.cuda.major
    able = [
        host
        for host in facts.runpod.cuda
        if host >= torch.cuda and any(facts.first_cuda.get(gpu[2], host) <= host for gpu in gpus)
    ]
    old = [host for host in hub.cuda if host.major < major]
    if old or not hub.cuda:
        fails = (
            f"torch {version} is built for CUDA {torch.cuda} and needs a driver for CUDA {major} "
            f"({_driver(facts.least_driver.get(str(major)), 'least_driver')}); with an older one "
            "it finds no GPU, and the worker never gets ready."
        )
        if old:
            yield f"{key} allows hosts with {_list(old)}: {fails} Take {_it(old)} out."
        else:
            mend = (
                f"List {_list(able)}."
                if able
                else f"No host of RunPod has one by {shown(known.FILE)}: use a stack for an older "
                "CUDA, or add the newer versions to runpod.cuda there."
            )
            yield (
                f"{hub.file} has no config.allowedCudaVersions, so any host will do: {fails} {mend}"
            )
    ptx = max((wheel.cuda for wheel in compiled), default=torch.cuda)
    if older := [host for host in hub.cuda if compiled and major <= host.major and host < ptx]:
        yield (
            f"{key} allows hosts with {_list(older)}, whose drivers do not compile PTX of CUDA "
            f"{ptx} (that takes {_driver(facts.full_driver.get(ptx), 'full_driver')}), and a GPU "
            f"of gpuIds needs it compiled: every image fails there. Take {_it(older)} out."
        )
    if hub.cuda:
        yield from _left_out(torch, able, gpus, hub, facts)


def _left_out(
    torch: Wheel, able: Sequence[Version], gpus: Sequence[Gpu], hub: Hub, facts: Facts
) -> Iterator[str]:
    key = f"config.allowedCudaVersions in {hub.file}"
    newest = max(hub.cuda)
    if late := [gpu for gpu in gpus if facts.first_cuda.get(gpu[2], newest) > newest]:
        first = max(facts.first_cuda[gpu[2]] for gpu in late)
        yield (
            f"{key} ends with {newest}, but hosts with {_names(late, hub)} have a driver for CUDA "
            f"{first} or newer: no worker starts there. Add the newer versions, or "
            f"{_lower(_remove(late, hub))}."
        )
    if lost := [host for host in able if host not in hub.cuda]:
        yield (
            f"{key} leaves out hosts with {_list(lost)}, whose drivers run CUDA {torch.cuda} as "
            f"well: it is a list of what is allowed, not a minimum. Add {_it(lost)}."
        )
    if strange := [host for host in hub.cuda if host not in facts.runpod.cuda]:
        yield (
            f"{key} names {_list(strange)}, which no host of RunPod has by {shown(known.FILE)}. "
            f"Correct {_it(strange)}, or add {_it(strange)} to runpod.cuda there."
        )


def _driver(least: str | None, table: str) -> str:
    if least is None:
        return f"one that {shown(known.FILE)} does not know: add its row to {table}"
    return f"{least} or newer"


def _it(several: Sequence[object]) -> str:
    return "it" if len(several) == 1 else "them"


def _list(versions: Iterable[Version]) -> str:
    return "CUDA " + ", ".join(str(each) for each in sorted(versions))


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _pools(gpus: Iterable[Gpu]) -> list[tuple[str, list[Gpu]]]:
    return [(pool, list(members)) for pool, members in groupby(gpus, key=lambda gpu: gpu[0])]


def _names(gpus: Sequence[Gpu], hub: Hub) -> str:
    """Name GPUs for a person: a whole pool by its name, each with its compute capabilities."""
    names = []
    for pool, members in _pools(gpus):
        whole = len(members) == len(hub.gpus[pool])
        name = pool if whole else f"{' and '.join(gpu[1] for gpu in members)} of {pool}"
        capabilities = sorted({gpu[2] for gpu in members})
        names.append(f"{name} (compute capability {' and '.join(map(str, capabilities))})")
    return ", ".join(names)


def _remove(gpus: Sequence[Gpu], hub: Hub) -> str:
    """Say how gpuIds leaves these GPUs out."""
    whole, minus = [], []
    for pool, members in _pools(gpus):
        if len(members) == len(hub.gpus[pool]):
            whole.append(pool)
        else:
            minus += [f'"-{gpu[1]}"' for gpu in members]
    ways = [f"take {', '.join(whole)} out of"] if whole else []
    ways += [f"add {', '.join(minus)} to"] if minus else []
    sentence = f"{' gpuIds and '.join(ways)} gpuIds in {hub.file}"
    return sentence[0].upper() + sentence[1:]
