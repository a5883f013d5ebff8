"""A real browser: the machine's own Chromium, or Debian's, unpacked below the workspace."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from scripts.lock import apt
from scripts.workspace.files import exclusive, require_space
from scripts.workspace.paths import WORKSPACE

FOLDER = WORKSPACE / "chromium"
PROGRAM = FOLDER / "chromium"
OWN = ("chromium", "google-chrome", "google-chrome-stable")
SUITE = "bookworm"
# fontconfig has a font to find, whatever the machine has.
PACKAGES = ("chromium", "fonts-dejavu-core")
# These come with the machine's loader, and with no other; Debian 12's Chromium runs on newer ones.
OF_THE_MACHINE = {"libc6", "libc-bin"}

WRAPPER = """\
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
lib=$root/usr/lib/x86_64-linux-gnu
# Of pulseaudio, what its libraries look for by an absolute path.
export LD_LIBRARY_PATH=$lib:$root/lib/x86_64-linux-gnu:$lib/pulseaudio
export FONTCONFIG_FILE=$root/../fonts.conf
export XDG_CACHE_HOME=$root/../cache
exec "$root/usr/lib/chromium/chromium" "$@"
"""
FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir prefix="relative">root/usr/share/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


def chromium() -> Path:
    """Return a Chromium that can be started, after unpacking Debian's where the machine has none.

    Raises Failure, with what to do, where Debian's packages cannot be had.
    """
    for name in OWN:
        if found := shutil.which(name):
            return Path(found)
    with exclusive(WORKSPACE / "chromium.lock", "unpacking Chromium"):
        if not PROGRAM.exists():
            _unpack()
    return PROGRAM


def _unpack() -> None:
    require_space(FOLDER, 1_500_000_000, "Chromium")
    shutil.rmtree(FOLDER, ignore_errors=True)
    debian = apt.apt(SUITE)
    names = debian.closure(PACKAGES) - OF_THE_MACHINE - debian.essential()
    debian.unpack(sorted(names), FOLDER / "root")
    (FOLDER / "fonts.conf").write_text(FONTS)
    # Last, because it is what tells that all is there.
    ready = FOLDER / "chromium.new"
    ready.write_text(WRAPPER)
    ready.chmod(0o755)
    ready.rename(PROGRAM)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a screen; playwright starts it without a sandbox, which root has none of."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=chromium())
        try:
            yield made
        finally:
            made.close()
