"""The arguments of `build`."""

from scripts.build import __doc__ as description
from scripts.workspace.cli import Parser
from scripts.workspace.cli import parser as new_parser


def parser() -> Parser:
    """Return the parser of `./nox -s build -- ...`."""
    made = new_parser("build", description or "")
    made.add_argument("--profile", default="sandbox", help="what to build (default: sandbox)")
    made.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="NAME=PATH|IMAGE",
        help="put a folder or an image in the place of an input: base, source, model, app, debs, "
        "or a layer such as py-torch, which has its files below PATH/layer; an image has them in "
        "srv/webui, models, app or layer; may be given several times (docs/building.md)",
    )
    made.add_argument(
        "--cache-to",
        action="append",
        default=[],
        metavar="REF|PATH",
        help="keep what each step made for other machines: in a registry (HOST/NAME:TAG), or in a "
        "folder (/PATH, ./PATH); may be given several times",
    )
    made.add_argument(
        "--cache-from",
        action="append",
        default=[],
        metavar="REF|PATH",
        help="take what steps made elsewhere, from where --cache-to kept it; may be given several "
        "times",
    )
    made.add_argument("--push", metavar="REF", help="push the image to a registry: HOST/NAME:TAG")
    made.add_argument(
        "--attest",
        action="append",
        default=[],
        choices=("provenance", "sbom"),
        help="push this beside the image, which stays as it is (with --push); may be given "
        "several times",
    )
    made.add_argument(
        "--builder",
        metavar="NAME",
        help="build with this builder of `docker buildx ls` (a remote BuildKit, Kubernetes); "
        "without --push, the image is then brought into the engine of this machine",
    )
    how = made.add_mutually_exclusive_group()
    how.add_argument(
        "--verify",
        action="store_true",
        help="build it a second time from nothing, with an engine and caches of its own, and "
        "compare the two to the bit (exit code 3: they differ)",
    )
    how.add_argument(
        "--target",
        metavar="STAGE",
        help="build up to this stage of docker/Dockerfile, and no image",
    )
    how.add_argument(
        "--impact",
        nargs="?",
        const="",
        metavar="REF",
        help="build nothing: say which layers would change since the last build, or since a git "
        "ref, how large they would be, and why",
    )
    how.add_argument(
        "--shell",
        metavar="STAGE",
        help="open a shell in this stage, or in the state before the step that fails on the way; "
        "without a terminal it takes commands from stdin",
    )
    how.add_argument(
        "--history",
        action="store_true",
        help="show the builds of the profile: what each ran and what it took from the cache",
    )
    how.add_argument(
        "--tree",
        action="store_true",
        help="show the largest packages and files in each layer of the image that was built last",
    )
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="ENVIRONMENT.PACKAGE=VERSION",
        help="with --impact: suppose another version, e.g. worker.runpod=1.10.1; may be given "
        "several times, and writes nothing",
    )
    return made
