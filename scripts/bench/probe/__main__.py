"""`python -m probe COMMAND`: measure here, JSON lines on stdout, progress on stderr.

Exit codes: 0 done, 1 the web UI did not come or failed, 2 wrong usage, 3 a backend disagrees.
"""

import argparse
import os
import sys
import time

from .attn_plan import Choice
from .first_gpu import ORDER
from .image import Plan
from .image import run as run_image
from .records import Emitter, progress
from .webui import DEFAULT_URL, TITLES, Api, Refused, launch_record, wait_ready

_ENTERED = "SDKILN_PROBE_ENTERED"


def parser() -> argparse.ArgumentParser:
    """The arguments that the host gives."""
    made = argparse.ArgumentParser(prog="probe", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    attn = commands.add_parser("attn", help="time attention on the shapes of the web UI's models")
    attn.add_argument("--cold", action="store_true", help="empty the caches before each call")
    unet = commands.add_parser("unet", help="time denoising steps of whole networks")
    vae = commands.add_parser("vae", help="time decodes of whole networks")
    for each in (attn, unet, vae):
        for name in ("shape", "backend", "dtype"):
            what = "names, separated by commas"
            each.add_argument(f"--{name}", type=_names, default=(), help=what)
        each.add_argument("--paced", action="store_true", help="go on as lines on stdin allow")
    commands.add_parser("header", help="what this machine and its software are")
    same = commands.add_parser("parity", help="does every backend agree with float64?")
    ready = commands.add_parser("ready", help="wait for a first image")
    ready.add_argument("--timeout", type=float, default=600.0, help="seconds")
    select = commands.add_parser("select", help="switch the attention optimization")
    select.add_argument("backend", choices=sorted(TITLES))
    image = commands.add_parser("image", help="time images")
    image.add_argument("--backends", type=_names, required=True, help="separated by commas")
    for each in (attn, unet, vae, image):
        each.add_argument("--size", choices=("quick", "default", "full"), default="default")
        each.add_argument("--exact", action="store_true", help="--budget is this run's")
    for each in (attn, unet, vae, same, image):
        each.add_argument("--seed", type=int, default=1)
    for each in (attn, unet, vae, image):
        each.add_argument("--skip", type=_names, default=(), help="keys of shapes measured before")
        each.add_argument("--rounds", type=int, default=20, help="rounds at least")
        each.add_argument("--budget", type=float, default=100.0, help="seconds")
    for each in (ready, select, image):
        each.add_argument("--url", help="of the web UI; default: that of /app/launch.json")
    return made


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def enter_launch_environment() -> None:
    """Start anew with the web UI's own variables and allocator, so that both see the same.

    Does nothing outside the image, where there is no /app/launch.json.
    """
    launch = launch_record()
    if not launch or _ENTERED in os.environ:
        return
    environment = {**os.environ, **launch.get("env", {}), _ENTERED: "1"}
    if launch.get("preload"):
        environment["LD_PRELOAD"] = ":".join(launch["preload"])
    os.execve(sys.executable, [sys.executable, "-m", "probe", *sys.argv[1:]], environment)


def main() -> int:
    """Run one command; its exit code."""
    started = time.monotonic()
    args = parser().parse_args()
    if args.command in ("attn", "unet", "vae", "header", "parity"):
        enter_launch_environment()
        return _torch_command(args, started)
    url = args.url or launch_record().get("url") or DEFAULT_URL
    api, emitter = Api(url), Emitter()
    try:
        if args.command == "ready":
            wait_ready(api, args.timeout)
            emitter.emit("ready", {})
        elif args.command == "select":
            emitter.emit("selected", {"held": api.select(TITLES[args.backend])})
        else:
            many = (args.budget, args.size, args.exact, args.skip)
            run_image(api, Plan(args.backends, args.seed, args.rounds, *many), emitter)
    except (Refused, OSError) as error:
        emitter.emit("error", {"reason": str(error)})
        return 1
    return 0


def _torch_command(args: argparse.Namespace, started: float) -> int:
    emitter = Emitter()
    # The profiler reports each of its stages on stderr otherwise: in torch 2.1 at level 3, in 2.13
    # at level 5.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    for name, value in ORDER.items():
        os.environ.setdefault(name, value)
    # Here, not above: importing torch takes seconds, and the image driver has no use for it.
    from . import attn, attn_job, device, forward, tf32
    from .paced import Pace

    tf32.as_web_ui()
    if args.command == "header":
        emitter.emit("header", device.header())
        return 0
    if args.command == "parity":
        return _parity(args.seed, emitter)
    cold = args.command == "attn" and args.cold
    settings = attn_job.Settings(
        args.seed,
        args.rounds,
        args.budget,
        args.exact,
        Choice(args.size, args.shape, args.backend, args.dtype, cold),
        args.skip,
        Pace(emitter.emit) if args.paced else None,
    )
    if args.command == "attn":
        attn.run(settings, emitter, started)
    else:
        forward.run(args.command, settings, emitter, started)
    return 0


def _parity(seed: int, emitter: Emitter) -> int:
    """Check every backend; the exit code."""
    from . import agreement

    faults = agreement.check(seed)
    emitter.emit("parity", {"faults": faults})
    for fault in faults:
        progress(fault)
    return 3 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
