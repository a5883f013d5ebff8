"""Debian's package index, read through apt with a state of its own: nothing is installed here.

The mirror is the one in the machine's own apt settings, or SDKILN_DEBIAN_MIRROR; apt checks the
index against Debian's archive keys.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scripts.workspace import processes
from scripts.workspace.errors import Failure
from scripts.workspace.paths import CACHE

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "SDKILN_DEBIAN_MIRROR"
# Without the first, apt takes old lists, or none, for success when a mirror does not answer. With
# the others, one that swallows everything costs some 25 s.
UPDATE = ("APT::Update::Error-Mode=any", "Acquire::Retries=1", "Acquire::http::Timeout=6")


@dataclass(frozen=True)
class Package:
    """A Debian package; `path` is its place below the mirror, `size` is in bytes."""

    name: str
    version: str
    path: str
    size: int
    sha256: str


def available() -> str | None:
    """Return why apt cannot be asked on this machine, or None when it can."""
    if missing := [tool for tool in ("apt-get", "apt-cache", "dpkg-deb") if not shutil.which(tool)]:
        return f"{', '.join(missing)} not found: this is no Debian or Ubuntu"
    if not KEYRING.exists():
        return f"{KEYRING} is missing: apt-get install debian-archive-keyring"
    return None


def mirror() -> str:
    """Return the address of the Debian mirror in use; raises Failure when none is known."""
    if chosen := os.environ.get(MIRROR):
        return chosen.rstrip("/")
    seen = list(dict.fromkeys(_addresses()))
    for address in seen:
        # A mirror of the main archive ends so by convention, the security archive's does not.
        if re.search(r"/debian/?$", address):
            return address.rstrip("/")
    others = ", ".join(re.sub("//[^/]*@", "//", address) for address in seen)  # without logins
    raise Failure(
        "no Debian mirror is known: this machine's apt has none"
        + (f" that ends in /debian, only {others}." if seen else "."),
        hint=f"Name one: {MIRROR}=<address of a Debian mirror>",
    )


def _addresses() -> Iterator[str]:
    """Yield the addresses that this machine's apt has; of a file of mirrors, its first one."""
    if not shutil.which("apt-get"):
        return
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"], capture_output=True, text=True
    )
    for address in listing.stdout.splitlines():
        # As Debian's cloud images have them, see apt-transport-mirror(1).
        first = _first(address) if address.startswith("mirror+file:") else None
        yield first or address


def _first(mirrors: str) -> str | None:
    """Return the first address of a file of mirrors, or None when it has none to be read."""
    try:
        lines = Path(unquote(urlsplit(mirrors).path)).read_text(errors="replace").splitlines()
    except OSError:
        return None
    # What is said of a mirror, its priority for example, follows it.
    words = [line.split()[0] for line in lines if line.strip()]
    return next((word for word in words if "://" in word and not word.startswith("#")), None)


@dataclass(frozen=True)
class Apt:
    """apt for one suite, with its own lists and an empty status: as if nothing were installed."""

    configuration: Path

    def __call__(self, *arguments: str, folder: Path | None = None) -> str:
        """Run an apt program in `folder`; return its output. Raises Failure with its message."""
        done = processes.run(
            arguments,
            folder=folder,
            environment={**os.environ, "APT_CONFIG": str(self.configuration), "LC_ALL": "C.UTF-8"},
        )
        if done.returncode:
            raise Failure(
                f"{' '.join(arguments[:2])} failed:\n{done.stderr.strip()}",
                hint="Check the network and this machine's apt settings, then try again.",
            )
        return done.stdout

    def unpack(self, names: Sequence[str], folder: Path) -> None:
        """Download packages and unpack them into `folder`; nothing of them is run."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as downloads:
            as_root = ("-o", "APT::Sandbox::User=root")
            self("apt-get", "download", "-qq", *as_root, *names, folder=Path(downloads))
            for package in sorted(Path(downloads).glob("*.deb")):
                subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)

    def closure(self, names: Sequence[str]) -> set[str]:
        """Return the names of all packages that installing `names` on nothing would bring."""
        plan = self("apt-get", "install", "--simulate", "-qq", *names)
        return set(re.findall(r"^Inst (\S+) ", plan, re.MULTILINE))

    def essential(self) -> set[str]:
        """Return the packages that Debian marks `Essential: yes`."""
        stanzas = self("apt-cache", "dumpavail").split("\n\n")
        # Of 60,000 stanzas, only these are worth taking apart.
        marked = [stanza for stanza in stanzas if "\nEssential: yes" in stanza]
        return {_fields(stanza)["Package"] for stanza in marked}

    def show(self, names: Sequence[str]) -> Iterator[Package]:
        """Yield the newest version of each package."""
        output = self("apt-cache", "show", "--no-all-versions", *names)
        for stanza in filter(None, output.strip().split("\n\n")):
            fields = _fields(stanza)
            yield Package(
                name=fields["Package"],
                version=fields["Version"],
                path=fields["Filename"],
                size=int(fields["Size"]),
                sha256=fields["SHA256"],
            )


def _fields(stanza: str) -> dict[str, str]:
    return dict(re.findall(r"^(\S+): (.*)$", stanza, re.MULTILINE))


def apt(suite: str) -> Apt:
    """Return apt for the main archive of a Debian suite, its index brought up to date.

    Raises Failure when this machine has no apt, or the mirror does not answer.
    """
    if reason := available():
        raise Failure(f"Debian's index cannot be read: {reason}.")
    folder = CACHE / "apt" / suite
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    configuration = folder / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
        'Dir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State::lists "{folder}/lists";\n'
        f'Dir::State::status "{folder}/status";\n'
        f'Dir::Cache "{folder}/cache";\n'
        'APT::Architecture "amd64";\n'
        'APT::Install-Recommends "false";\n'
    )
    made = Apt(configuration)
    made("apt-get", "update", "-qq", *(f"-o{setting}" for setting in UPDATE))
    return made
