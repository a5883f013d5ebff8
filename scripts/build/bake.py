"""The variable part of the bake file: contexts, arguments and tags of one profile, as JSON."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from scripts.workspace.errors import BadInput
from scripts.workspace.files import EPOCH
from scripts.workspace.model import Profile, nearest
from scripts.workspace.paths import shown


def image_name(profile: str) -> str:
    """Return the name and tag under which a profile's image is kept."""
    return f"sdkiln-{profile}:latest"


IMAGES = ("docker-image://", "oci-layout://")


def replacements(arguments: list[str], known: Collection[str]) -> dict[str, str]:
    """Return what `--context NAME=PATH|IMAGE` arguments put in whose place, as bake writes it.

    Raises BadInput for a name that is not `known`, for a folder that is not there, and for what is
    neither a folder nor an image. An address may hold a token, so it is in no message.
    """
    found: dict[str, str] = {}
    for argument in arguments:
        name, separator, value = argument.partition("=")
        if not separator or not value:
            raise BadInput(f"--context {argument}: give NAME=PATH or NAME=IMAGE.")
        if name not in known:
            raise BadInput(f"--context {name}: there is no input {name}.{nearest(name, known)}")
        path = Path(value).expanduser()
        if path.is_dir():
            found[name] = str(path.resolve())
        elif path.exists():
            raise BadInput(f"--context {argument}: {shown(path)} is a file, not a folder.")
        elif value.startswith(IMAGES):
            found[name] = value
        elif "://" in value:
            raise BadInput(
                f"--context {name}: an address is no input; give a folder or an image.",
                hint="Of a git repository, give a checkout; of an archive, the folder with what is "
                "in it.",
            )
        elif re.search(r"[^/]+[:@][^/]+$", value) and not value.startswith((".", "/", "~")):
            found[name] = f"docker-image://{value}"
        else:
            raise BadInput(
                f"--context {argument}: there is no folder {value}; an image would have a tag or "
                "a digest."
            )
    return found


def floating(replaced: Mapping[str, str]) -> list[str]:
    """Return the inputs that are an image without a digest: it may be another one each time."""
    return [
        name
        for name, value in replaced.items()
        if value.startswith(IMAGES) and "@sha256:" not in value
    ]


def definition(
    name: str,
    profile: Profile,
    folders: Mapping[str, Path],
    image: str | None,
    replaced: Mapping[str, str],
    secrets: Mapping[str, Path],
    exporter: str,
) -> dict[str, Any]:
    """Return the bake definition that is laid over docker/docker-bake.hcl.

    `folders` are the contexts that were made, `image` is the base by digest unless it is
    bootstrapped, `replaced` comes from `replacements`, `exporter` is the output's attributes.
    """
    layouts = folders["layouts"]

    def handed_over(target: str) -> list[str]:
        return [f"type=oci,tar=false,compression=zstd,dest={layouts}/{target}"]

    base = replaced.get("base") or (
        f"docker-image://{image}" if image else f"oci-layout://{layouts}/rootfs:latest"
    )
    shared = {"base": base, "tools": str(folders["tools"]), "locks": str(folders["locks"])}
    targets: dict[str, Any] = {
        "_common": {
            "args": {"SOURCE_DATE_EPOCH": str(EPOCH)},
            "secret": [f"type=file,id={key},src={path}" for key, path in secrets.items()],
        }
    }
    contexts = shared | {
        key: str(folders[key]) for key in ("debs", "model", "source", "app") if key in folders
    }
    if image is None and "base" not in replaced:
        targets["rootfs"] = {
            "context": str(folders["rootfs"]),
            "output": handed_over("rootfs"),
        }
    if profile.source.folder is not None and "source" not in replaced:
        targets["source"] = {
            "context": str(folders["source"]),
            "contexts": shared,
            "output": handed_over("source"),
        }
        contexts["source"] = f"oci-layout://{layouts}/source:latest"
    contexts |= replaced
    targets["check"] = {"contexts": contexts}
    targets["image"] = {
        "contexts": contexts,
        "tags": [image_name(name)],
        "output": [exporter],
    }
    return {"target": targets}


def order(made: Mapping[str, Any]) -> list[str]:
    """Return the targets of a definition in the order in which they are built."""
    return [target for target in ("rootfs", "source", "check", "image") if target in made["target"]]


def render(made: Mapping[str, Any]) -> str:
    """Return the JSON text of a definition."""
    return json.dumps(made, indent=2) + "\n"
