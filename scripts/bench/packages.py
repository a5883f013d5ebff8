"""What the probe imports beside the image's packages: installed once per lock, for mounting."""

import subprocess
import sys
import tempfile
from pathlib import Path

from uv import find_uv_bin

from scripts.lock.lockfile import digest, pins, read
from scripts.lock.uv import fault
from scripts.workspace.cli import say
from scripts.workspace.errors import CheckFailed
from scripts.workspace.files import exclusive
from scripts.workspace.model import Profile, Workspace
from scripts.workspace.paths import BENCH, LOCKFILES, ROOT, shown

ENVIRONMENT = "probe"
WATCHING = "nvidia-ml-py"
"""Of the lock what tells of the GPU, and needs nothing else: one module beside the web UI's own."""
PACKAGES = BENCH / "packages"


def lock_of(profile: Profile) -> str:
    """The name of the lock that goes beside a profile's webui environment."""
    return f"{ENVIRONMENT}-{profile.stack}-py{profile.python}"


def installed(workspace: Workspace, profile: Profile) -> Path:
    """Install the profile's lock into a folder of its own, if it is not there; return the folder.

    It holds no more than the lock: the versions of all else are those of the webui environment,
    which the lock extends. Readable by all, whatever the umask: the image's user is another.
    Raises BadInput for a lock that was edited, CheckFailed for a package that is not as it was
    locked, Failure where the registry does not answer.
    """
    name = lock_of(profile)
    return _placed(name, read(LOCKFILES / f"{name}.txt").text(), workspace, profile)


def watching(workspace: Workspace, profile: Profile) -> Path:
    """As `installed`, of the same lock nvidia-ml-py alone: for suites that import nothing else.

    The web UI that suite `image` drives has the folder on its path, so no other package may be in.
    """
    name = lock_of(profile)
    found = [pin.text for pin in pins(read(LOCKFILES / f"{name}.txt").body) if pin.name == WATCHING]
    return _placed(f"{WATCHING} of {name}", "".join(found), workspace, profile)


def _placed(name: str, requirements: str, workspace: Workspace, profile: Profile) -> Path:
    """Install requirements with hashes into the folder that is theirs, if it is not there."""
    key = digest(requirements).removeprefix("sha256:")[:16]
    folder = PACKAGES / key
    with exclusive(PACKAGES / "lock", f"installing {name}"):
        if folder.exists():
            return folder
        say(f"bench: installing {name} into {shown(folder)}")
        with tempfile.TemporaryDirectory(dir=PACKAGES, prefix=f".{key}-") as temporary:
            made, lock = Path(temporary) / "packages", Path(temporary) / "requirements.txt"
            lock.write_text(requirements, encoding="utf-8")
            _install(name, lock, made, profile.python, workspace.lock.platform)
            for each in (made, *made.rglob("*")):
                each.chmod(each.stat().st_mode | (0o555 if each.is_dir() else 0o444))
            made.rename(folder)
    return folder


def _install(name: str, lock: Path, target: Path, python: str, platform: str) -> None:
    """Install the files of a lock that the image's Python and platform take; all are wheels."""
    command = [find_uv_bin(), "pip", "install", "--quiet", f"--python={sys.executable}"]
    command += [f"--python-version={python}", f"--python-platform={platform}"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += [f"--target={target}", f"--requirements={lock}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return
    reason = done.stderr.strip()
    if found := fault(reason, f"{name} was not installed"):
        raise found
    raise CheckFailed(f"{name} cannot be installed:\n{reason}")
