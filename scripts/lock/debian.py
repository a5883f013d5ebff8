"""Debian packages: the closure of those asked for, by version and SHA-256."""

from scripts.lock import apt
from scripts.lock.lookup import Found, NotFound, Unreachable
from scripts.workspace.errors import Failure
from scripts.workspace.model import Debian


def look_up(record: Debian) -> Found:
    """Return the closure of the packages asked for, by name: path, size, hash and layer.

    `system` holds what is needed beyond a bare Debian, so that it can be installed on any image
    of the suite. Raises NotFound for a suite or a package that the archive does not have, and
    Unreachable when this machine has no apt or the mirror does not answer.
    """
    try:
        index = apt.apt(record.suite)
    except Failure as failure:
        reason = _line(failure)
        missing = "does not have a Release file" in reason
        raise (NotFound if missing else Unreachable)(reason) from None
    try:
        return Found(_closure(index, record))
    except Failure as failure:
        # The index is here: what is wrong now are the names.
        raise NotFound(_line(failure)) from None


def _closure(index: apt.Apt, record: Debian) -> dict[str, dict[str, object]]:
    # Of two ways to have /bin in /usr, the package that only says so, not the one with perl.
    essential = index.closure(sorted({*index.essential(), "usr-is-merged"}))
    base = index.closure(sorted(essential | set(record.base)))
    system = index.closure(record.system) - essential
    return {
        package.name: {
            "version": package.version,
            "path": package.path,
            "size": package.size,
            "sha256": package.sha256,
            "layers": [
                layer
                for layer, names in (("base", base), ("system", system))
                if package.name in names
            ],
        }
        for package in sorted(index.show(sorted(base | system)), key=lambda each: each.name)
    }


def _line(failure: Failure) -> str:
    """Return what apt said as one sentence, without its full stop."""
    lines = [line[3:] for line in failure.message.splitlines() if line.startswith("E: ")]
    # Of the old lists, which are not used here.
    told = [line for line in lines if not line.startswith("Some index files failed")]
    return "; ".join(told or [failure.message]).rstrip(".")
