"""The machine's own settings of uv, without those that would change what is resolved.

Where packages come from and how they are reached is the machine's affair: its mirror, its login,
its proxy. Whatever else uv can be told (pre-releases, overrides, another strategy) would be an
input that no lock records, and the same inputs would give another lock on the next machine.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli

from scripts.workspace.errors import BadInput

# By the names of uv 0.13, as they are in uv.toml and, after UV_, among its variables.
_OF_MACHINE = re.compile(
    r"(default-|extra-)?index(-.*)?|find-links|keyring-provider|credentials-dir|"
    r"(native-tls|system-certs)|(allow-)?insecure-host|ssl-cert.*|(http|https|no)-proxy|"
    r"(http|request|upload)-.*|concurrent-.*|offline|cache-dir|no-cache|link-mode",
)
_PREFIX = "UV_"


def is_of_machine(name: str) -> bool:
    """Return whether a setting, `index-url` or `INDEX_URL`, says only how packages are reached."""
    return _OF_MACHINE.fullmatch(name.lower().replace("_", "-")) is not None


def environment() -> dict[str, str]:
    """Return this process's variables without those of uv that a lock must not depend on."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PREFIX) or is_of_machine(name.removeprefix(_PREFIX))
    }


def configuration() -> dict[str, Any]:
    """Return what uv.toml of the user and of the system say of how packages are reached.

    As uv reads them: the user's go before the system's, lists are put together, and of the same
    setting the one for `uv pip` counts. Raises BadInput for a file that cannot be read.
    """
    found: dict[str, Any] = {}
    for file in _files():
        try:
            content = tomli.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as reason:
            raise BadInput(f"uv's settings in {file} cannot be read: {reason}") from None
        for table in (content.get("pip", {}), content):
            for name, value in table.items():
                if not is_of_machine(name):
                    continue
                if isinstance(value, list):
                    found[name] = [*found.get(name, []), *value]
                else:
                    found.setdefault(name, value)
    return found


def _files() -> Iterator[Path]:
    """Yield the settings' files that are there, the strongest first; none with UV_NO_CONFIG."""
    if named := os.environ.get("UV_CONFIG_FILE"):
        yield Path(named)
        return
    if os.environ.get("UV_NO_CONFIG"):
        return
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    system = [Path(each) for each in (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    # Of the system's only the first counts.
    for places in ([user], [*system, Path("/etc")]):
        files = (place / "uv" / "uv.toml" for place in places)
        yield from [file for file in files if file.is_file()][:1]
