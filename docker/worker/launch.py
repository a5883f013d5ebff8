"""Reads launch.json, which says how this image's web UI is started and judged ready."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LAUNCH_FILE = "/app/launch.json"
LAUNCH_VARIABLE = "SDKILN_LAUNCH"

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LaunchError(Exception):
    """launch.json is missing, malformed, or asks for what this container cannot do."""


class Launch(BaseModel):
    """What scripts/build writes into launch.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    python: Text
    """Interpreter of the web UI's own environment."""
    cwd: Text
    """Folder of webui.py, from which the web UI is started."""
    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    """webui.py and its arguments."""
    env: dict[str, str]
    """Added to the container's environment for the web UI alone."""
    preload: tuple[Text, ...]
    """Shared libraries for the web UI's LD_PRELOAD, by soname."""
    url: Annotated[str, Field(pattern=r"^http://[^/]+$")]
    """Where the web UI answers, without a path."""
    ready_timeout_s: Seconds
    """How long the web UI may take from its start to its first image."""
    stop_timeout_s: Seconds
    """How long the web UI may take to end after SIGTERM, before SIGKILL."""
    job_timeout_s: Seconds = 600.0
    """How long one job may take; 600 s is RunPod's own default for an execution."""
    warmup: dict[str, Any]
    """The txt2img payload whose image proves that the web UI is ready."""


def load_launch(environ: Mapping[str, str]) -> Launch:
    """Return the launch options of this image, from SDKILN_LAUNCH if that is set.

    Raises:
        LaunchError: the file cannot be read, or does not hold launch options.
    """
    path = Path(environ.get(LAUNCH_VARIABLE) or LAUNCH_FILE)
    try:
        content = json.loads(path.read_bytes())
        return Launch.model_validate(content)
    except OSError as error:
        raise LaunchError(
            f"cannot read {path} ({error.strerror}); rebuild the image, "
            f"or let {LAUNCH_VARIABLE} name another launch file"
        ) from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise LaunchError(
            f"{path} is no valid launch file ({faults}); rebuild the image"
        ) from error
    except ValueError as error:
        raise LaunchError(f"{path} is not JSON ({error}); rebuild the image") from error


def make_folders(launch: Launch) -> None:
    """Make the folders that the web UI's arguments expect to be there already.

    Raises:
        LaunchError: a folder cannot be made, for instance because the root is read-only.
    """
    for folder in _folders(launch.argv):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LaunchError(
                f"cannot make {folder} for the web UI ({error.strerror}); "
                "it must be a folder below /tmp or another writable mount"
            ) from error


def _folders(argv: tuple[str, ...]) -> list[Path]:
    words = [word for argument in argv for word in argument.split("=", 1)]
    folders = []
    for option, value in pairwise(words):
        if option == "--data-dir":
            folders.append(Path(value))
        elif option == "--ui-settings-file":
            folders.append(Path(value).parent)
    return folders
