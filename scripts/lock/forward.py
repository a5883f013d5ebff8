"""Moving pins: another cutoff in workspace.toml, for every package or for the named ones."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

import tomli
import tomlkit
from packaging.utils import canonicalize_name

from scripts.lock.lookup import LookUp
from scripts.lock.why import near
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Lock, Workspace

NOT_OVER = "that day is not over in UTC, and what is uploaded until then would change the lock."
LAST_DAY = "The last whole day is {}."
# A mirror may show a release days after its upload (a week was seen): a lock of a younger day could
# not be made again with what it shows later. Broken releases have time to be found, too.
SETTLING = timedelta(days=7)


@dataclass(frozen=True)
class Step:
    """Where the pins move to: the workspace with its cutoffs, and which other pins to look up."""

    workspace: Workspace
    look_up: LookUp


def last_day() -> date:
    """Return the last day that is over in UTC: nothing can be uploaded on it any more."""
    return datetime.now(timezone.utc).date() - timedelta(days=1)


def onward(workspace: Workspace) -> Step:
    """Return the step of everything to the last day that has settled; no package goes back."""
    old = workspace.lock
    to = max(old.as_of, last_day() - SETTLING)
    ahead = {name: day for name, day in old.ahead.items() if day > to}
    lock = old.model_copy(update={"as_of": to, "ahead": ahead})
    return Step(workspace.model_copy(update={"lock": lock}), LookUp(None))


def require_over(lock: Lock) -> None:
    """Raise BadInput for a cutoff whose day is not over: what is computed now could change."""
    last = last_day()
    days = {"as_of": lock.as_of, **{f"ahead.{name}": day for name, day in lock.ahead.items()}}
    for key, found in days.items():
        if found > last:
            raise BadInput(
                f"workspace.toml: lock.{key} is {found}: {NOT_OVER}", hint=LAST_DAY.format(last)
            )


def day(text: str) -> date:
    """Return the day that `--as-of` names; `today` is the last one that is over.

    Raises BadInput for a day that is not over: its lock could change until midnight.
    """
    last = last_day()
    if text == "today":
        return last
    try:
        # Python 3.11 and later would take 20261101 and 2026-W44-7 too, 3.10 would not.
        if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        found = date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--as-of {text} is no date.", hint="Give YYYY-MM-DD, or today.") from None
    if found > last:
        raise BadInput(f"--as-of {text}: {NOT_OVER}", hint=LAST_DAY.format(last))
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
    images, sources, models and Debian. Raises BadInput for a name that is neither, and for a
    package that would have to go back, or to stay though there are later days.
    """
    if not names:
        return Step(workspace.at(to), LookUp(None))
    ahead = dict(workspace.lock.ahead)
    for name in names:
        canonical = str(canonicalize_name(name))
        if canonical in packages:
            _refuse_no_move(canonical, workspace.lock, to)
            ahead[canonical] = to
        elif name not in others:
            known = ", ".join(near(name, {*packages, *others}))
            raise BadInput(f"nothing that is locked is named {name}. The nearest: {known}.")
    lock = Lock(
        as_of=workspace.lock.as_of,
        platform=workspace.lock.platform,
        ahead={name: day for name, day in ahead.items() if day > workspace.lock.as_of},
    )
    asked = LookUp(frozenset(names) & frozenset(others))
    return Step(workspace.model_copy(update={"lock": lock}), asked)


def _refuse_no_move(name: str, lock: Lock, to: date) -> None:
    """Raise BadInput if a package cannot move to a day that is not later than `as_of`."""
    # On the last day that is over, --upgrade NAME has nothing to do, which is no mistake; a package
    # that is ahead comes back to the others on their day.
    if to > lock.as_of or (to == lock.as_of and (to == last_day() or name in lock.ahead)):
        return
    raise BadInput(
        f"{name} is already at as_of = {lock.as_of}, and {to} is not later.",
        hint="A package moves forward alone. To go back with all: --as-of DAY, without a name.",
    )


def later(old: Lock, new: Lock) -> dict[str, date]:
    """Return the packages that `new` lets be newer; none when it also takes anything back."""
    back = any(new.ahead.get(name, new.as_of) < day for name, day in old.ahead.items())
    if back or new.as_of != old.as_of:
        return {}
    return {name: day for name, day in new.ahead.items() if day > old.ahead.get(name, old.as_of)}


def staying(workspace: Workspace, step: Step, names: Collection[str]) -> Step:
    """Return a step that leaves these packages at the days that `workspace` has for them."""
    old, new = workspace.lock.ahead, step.workspace.lock.ahead
    ahead = {name: day for name, day in new.items() if name not in names}
    ahead |= {name: day for name, day in old.items() if name in names}
    lock = step.workspace.lock.model_copy(update={"ahead": ahead})
    return Step(step.workspace.model_copy(update={"lock": lock}), step.look_up)


def rewritten(text: str, lock: Lock) -> str:
    """Return workspace.toml's text with these cutoffs; all else stays as people wrote it.

    Raises BadInput for a text whose [lock] is written in a way that cannot be edited in place.
    """
    wanted = tomli.loads(text)
    old = wanted["lock"]
    as_of_moves, ahead_moves = old["as_of"] != lock.as_of, old.get("ahead", {}) != lock.ahead
    if not as_of_moves and not ahead_moves:
        return text
    document = tomlkit.parse(text)
    table: Any = document["lock"]
    if as_of_moves:
        old["as_of"] = table["as_of"] = lock.as_of
    if ahead_moves:
        old["ahead"] = dict(lock.ahead)
        _edit(table, lock.ahead)
    made = tomlkit.dumps(document)
    # tomlkit's editing has gaps, as with a table in several places: nothing, then, and no harm.
    try:
        if tomli.loads(made) == wanted:
            return made
    except tomli.TOMLDecodeError:
        pass
    raise BadInput(
        "workspace.toml: [lock] is written in a way that cannot be edited.",
        hint="Write one table [lock], with as_of and ahead = { NAME = DAY } in it.",
    )


def _edit(table: Any, ahead: Mapping[str, date]) -> None:
    """Make `ahead` the table's, in place: inline, or under a header of its own."""
    there = table.get("ahead", {})
    if not isinstance(there, tomlkit.items.Table):
        pairs = (f"{tomlkit.key(name).as_string()} = {to}" for name, to in sorted(ahead.items()))
        made: Any = tomlkit.value(f"{{ {', '.join(pairs)}}}" if ahead else "{}")
        if ahead:
            made.value.append(None, tomlkit.ws(" "))  # tomlkit does not keep the last blank.
        table["ahead"] = made
        return
    for name in [name for name in there if name not in ahead]:
        del there[name]
    for name, to in sorted(ahead.items()):
        if there.get(name) != to:
            there[name] = to
