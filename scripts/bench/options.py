"""The arguments of `bench`."""

import argparse
from pathlib import Path

from packaging.utils import InvalidName, canonicalize_name

from scripts.bench.tracking import HERE
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser


def parser() -> Parser:
    """Return the parser of `./nox -s bench -- ...`."""
    made = new_parser(
        "bench",
        "Measure the image that was built last, and write the raw samples to "
        ".workspace/bench/RUN.json. Exit code 3: a backend disagrees with float64, or --gate found "
        "a regression that a second session confirms; 4: --gate could not decide.",
    )
    made.add_argument(
        "--profile", default="sandbox", metavar="NAME", help="whose image (default: sandbox)"
    )
    made.add_argument(
        "--suite",
        metavar="NAME[,NAME]",
        help="attn: attention on SD1.5's shapes; unet, vae: steps and decodes of whole networks of "
        "random weights; image: txt2img through the web UI's API; replay: "
        "what past dependency bumps would have pulled, from the package registry alone, without "
        "image or engine; rebuild: what a change costs in our order of layers and in "
        "worker-a1111's; verdicts: how often verdicts are right, on simulated sessions (default: "
        "bench.suites of workspace.toml)",
    )
    made.add_argument(
        "--in",
        dest="where",
        choices=("image", "host"),
        default="image",
        help="measure in the image (default), or in a Python of this machine, without an image: "
        "the suites attn, unet and vae",
    )
    made.add_argument(
        "--python",
        metavar="PATH",
        help="with --in host: the Python, which has torch (default: python3)",
    )
    made.add_argument(
        "--quick",
        action="store_true",
        help="small shapes, few rounds, half a minute a suite: to see that it works (rebuild "
        "takes some minutes)",
    )
    made.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of data and order (default: 1)"
    )
    made.add_argument(
        "--budget",
        type=_seconds,
        metavar="SECONDS",
        help="time for the measurements of one suite (default: bench.budget_s of workspace.toml; "
        "with --quick 25, with --full what that takes)",
    )
    made.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("BEFORE", "AFTER"),
        help="measure nothing: the verdict on each case that two result files have in common",
    )
    made.add_argument(
        "--ab",
        nargs=2,
        metavar=("LOCK_A", "LOCK_B"),
        help="measure two locks of the webui environment in turns, in environments of their own on "
        "this machine: attn (default), unet, vae; a lock is a file, COMMIT:PATH or COMMIT",
    )
    made.add_argument(
        "--advise",
        action="store_true",
        help="measure nothing: the attention option that stored runs speak for, by device, size "
        'and batch, and what attention = "auto" makes of them (with --of, of these runs alone)',
    )
    made.add_argument(
        "--continue",
        dest="resume",
        nargs="?",
        const="",
        metavar="RUN_ID",
        help="go on with the newest run that was killed, or with that one, by its own arguments",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    made.add_argument(
        "--record",
        action="store_true",
        help="write the results to benchmarks/, too, to be committed: a measured run to its "
        "device's folder, as the baseline of each suite that has none there",
    )
    tracking = made.add_argument_group("regressions; see docs/benchmarking.md")
    tracking.add_argument(
        "--gate",
        action="store_true",
        help="measure the suites that have a baseline on this device (or --suite) in the image, or "
        "with --in host, and hold them against it. Exit code 3: a case is slower, also in a second "
        "session with the locks of both runs in turns, which the host has none of; 4: that could "
        "not be told. What is faster is written as the new baseline",
    )
    tracking.add_argument(
        "--history",
        nargs="?",
        const=HERE,
        metavar="DEVICE",
        help="measure nothing: the recorded runs of this device, or of a folder of benchmarks/, "
        "where they changed, and what differed there; with --record renew changes.json",
    )
    exports = made.add_argument_group("results for other programs; see docs/benchmarking.md")
    exports.add_argument(
        "--export",
        action="append",
        default=[],
        metavar="FORMAT=FILE",
        help="write the run in another format, too, `-` being stdout: bencher, github-bigger, "
        "github-smaller, markdown, openmetrics, otava, system-info (may be repeated)",
    )
    exports.add_argument(
        "--of",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN.json",
        help="measure nothing: export stored runs (otava alone takes several), --record them, "
        "--gate one, or --advise by them",
    )
    made.add_argument(
        "--full",
        action="store_true",
        help="for the record. attn, unet, vae: every size, batch, prompt, type and forced kernel; "
        "hours. image: every size, batch and prompt; two hours on a GPU, ten minutes on a CPU",
    )
    chosen = made.add_argument_group("of the suites attn, unet and vae; each must know the names")
    for name, what in (
        (
            "shape",
            "by name or pattern, of all that there are; attn: sdxl-1024-self-*,vae-512-self-4096; "
            "unet, vae: sd15-512, sdxl-*, with -x4 for four images, -t154 for 154 tokens",
        ),
        ("backend", "these; sdp (vae: sdp-3d), which all are compared with, always comes along"),
        ("dtype", "float16, bfloat16, float32 (default: the size's on a GPU, float32 on a CPU)"),
    ):
        chosen.add_argument(f"--{name}", type=_names, default=(), metavar="NAME[,NAME]", help=what)
    attn = made.add_argument_group("of the suite attn")
    attn.add_argument(
        "--cold", action="store_true", help="empty the caches before each call; cases end in -cold"
    )
    replay = made.add_argument_group("of the suite replay")
    replay.add_argument(
        "--without",
        type=_package,
        action="append",
        default=[],
        metavar="NAME",
        help="also answer: what if no .in file had a line for this package? (may be repeated)",
    )
    return made


def _names(text: str) -> tuple[str, ...]:
    """Names separated by commas, one at least."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of names")
    return names


def _seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no positive number of seconds")
    return value


def _package(text: str) -> str:
    """A package's name in its normal form."""
    try:
        return canonicalize_name(text, validate=True)
    except InvalidName:
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a package") from None
