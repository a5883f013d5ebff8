"""Debian packages by hash, and the root file system that is bootstrapped from them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from scripts.lock import apt
from scripts.workspace.download import fetch
from scripts.workspace.errors import Failure
from scripts.workspace.files import EPOCH, require_space, set_content_time, sha256
from scripts.workspace.paths import CACHE

# From Debian's package, unpacked below the workspace like the engine. Debian 12's is a Perl script
# that runs on newer systems, too.
MMDEBSTRAP = CACHE / "mmdebstrap"
MMDEBSTRAP_SUITE = "bookworm"
# What the root file system is like, beside its packages: each of these is an input of `base`.
OPTIONS = (
    "--format=tar",
    "--variant=custom",
    "--aptopt=Acquire::Languages none",
    # What the image's processes never read.
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    '--customize-hook=rm -rf "$1"/var/log/* "$1"/var/lib/apt/lists/*',
    '--customize-hook=rm -rf "$1"/var/cache/apt/*',
    '--customize-hook=rm -rf "$1"/etc/apt/sources.list "$1"/var/cache/ldconfig/*',
)


def packages(pins: Mapping[str, Mapping[str, Any]], layer: str) -> list[Path]:
    """Return the .deb files of a layer, downloading what is not there yet."""
    wanted = [pin for pin in pins.values() if layer in pin["layers"]]
    files = [CACHE / "debian" / Path(pin["path"]).name for pin in wanted]
    missing = [
        (pin, file)
        for pin, file in zip(wanted, files, strict=True)
        if not file.exists() or sha256(file) != pin["sha256"]
    ]
    if missing:
        mirror = apt.mirror()
        with ThreadPoolExecutor(8) as pool:
            jobs = [
                pool.submit(fetch, [f"{mirror}/{pin['path']}"], file, pin["sha256"], pin["size"])
                for pin, file in missing
            ]
        for job in jobs:
            job.result()
    return files


def bootstrap(files: list[Path], output: Path) -> None:
    """Write the tar of a root file system with exactly these packages: the same bytes each time.

    Raises Failure with mmdebstrap's message.
    """
    require_space(output.parent, 1_000_000_000, "bootstrapping Debian")
    program = _mmdebstrap()
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        # mmdebstrap works as another user in parts.
        folder.chmod(0o755)
        index = folder / "Packages"
        names = []
        with index.open("w") as listing:
            for file in files:
                os.link(file, folder / file.name)
                control = _text(["dpkg-deb", "--field", str(file)]).strip()
                names.append(_text(["dpkg-deb", "--field", str(file), "Package"]).strip())
                listing.write(
                    f"{control}\nFilename: ./{file.name}\nSize: {file.stat().st_size}\n"
                    f"SHA256: {sha256(file)}\n\n"
                )
        part = output.with_name(f"{output.name}.part")
        done = subprocess.run(
            [
                str(program),
                *OPTIONS,
                f"--include={','.join(names)}",
                # /bin and its like as links into /usr, before the first package is unpacked.
                f"--hook-dir={program.parents[1]}/share/mmdebstrap/hooks/merged-usr",
                "",
                str(part),
                f"deb [trusted=yes] copy:{folder} ./",
            ],
            env={
                **os.environ,
                "PATH": f"{program.parent}:{os.environ['PATH']}",  # it starts mmtarfilter
                "SOURCE_DATE_EPOCH": str(EPOCH),
            },
            capture_output=True,
            text=True,
        )
    if done.returncode:
        part.unlink(missing_ok=True)
        raise Failure(f"mmdebstrap could not make the root file system:\n{done.stderr.strip()}")
    set_content_time(part, sha256(part))
    part.rename(output)


def _mmdebstrap() -> Path:
    if own := shutil.which("mmdebstrap"):
        return Path(own)
    if reason := apt.available():
        raise Failure(
            f"the sandbox's Debian cannot be bootstrapped here: {reason}.",
            hint="Use an image instead, e.g. --context base=python:3.11-slim-bookworm",
        )
    program = MMDEBSTRAP / "usr/bin/mmdebstrap"
    if not program.exists():
        apt.apt(MMDEBSTRAP_SUITE).unpack(["mmdebstrap"], MMDEBSTRAP)
    return program


def _text(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
