"""Moving pins: another cutoff in workspace.toml, for every package or for the named ones."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

import tomlkit
from packaging.utils import canonicalize_name

from scripts.lock.lookup import LookUp
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Lock, Workspace, nearest


@dataclass(frozen=True)
class Step:
    """Where the pins move to: the workspace with its cutoffs, and which other pins to look up."""

    workspace: Workspace
    look_up: LookUp


def last_day() -> date:
    """Return the last day that is over in UTC: nothing can be uploaded on it any more."""
    return datetime.now(timezone.utc).date() - timedelta(days=1)


def day(text: str) -> date:
    """Return the day that `--as-of` names; `today` is the last one that is over.

    Raises BadInput for a day that is not over: its lock could change until midnight.
    """
    last = last_day()
    if text == "today":
        return last
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--as-of {text} is no date.", hint="Give YYYY-MM-DD, or today.") from None
    if found > last:
        raise BadInput(
            f"--as-of {text}: that day is not over in UTC, and what is uploaded until then would "
            "change the lock.",
            hint=f"The last whole day is {last}.",
        )
    return found


def step(
    workspace: Workspace,
    to: date,
    names: Sequence[str],
    packages: Collection[str],
    others: Collection[str],
) -> Step:
    """Return the step to the day `to`: of everything, or of `names` alone.

    `packages` are all that the locks hold, `others` the names of what is looked up elsewhere:
    images, sources, models and Debian. Raises BadInput for a name that is neither.
    """
    if not names:
        return Step(workspace.at(to), LookUp(None))
    ahead = dict(workspace.lock.ahead)
    for name in names:
        canonical = str(canonicalize_name(name))
        if canonical in packages:
            ahead[canonical] = to
        elif name not in others:
            known = [*packages, *others]
            raise BadInput(f"nothing that is locked is named {name}.{nearest(name, known)}")
    lock = Lock(
        as_of=workspace.lock.as_of,
        platform=workspace.lock.platform,
        ahead={name: day for name, day in ahead.items() if day > workspace.lock.as_of},
    )
    asked = LookUp(frozenset(names) & frozenset(others))
    return Step(workspace.model_copy(update={"lock": lock}), asked)


def rewritten(text: str, lock: Lock) -> str:
    """Return workspace.toml's text with these cutoffs; all else stays as people wrote it."""
    document = tomlkit.parse(text)
    table = document["lock"]
    assert isinstance(table, tomlkit.items.Table)
    if table["as_of"] != lock.as_of:
        table["as_of"] = lock.as_of
    if table.get("ahead", {}) != lock.ahead:
        ahead = tomlkit.inline_table()
        ahead.update(dict(sorted(lock.ahead.items())))
        table["ahead"] = ahead
    return tomlkit.dumps(document)
