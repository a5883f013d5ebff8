"""The digests that inputs gave before: here, and in the last build that was verified."""

from collections.abc import Iterator

import tomli
import tomli_w
from pydantic import ValidationError

from scripts.build.record import BuildRecord, history
from scripts.workspace.errors import BadInput
from scripts.workspace.files import write_atomic
from scripts.workspace.model import Record
from scripts.workspace.paths import DOCKER, shown

VERIFIED = DOCKER / "verified.toml"
HEAD = "# Made by `./nox -s build -- --verify`: what the inputs of then gave twice, from nothing.\n"


class Verified(Record):
    """The digest that a recipe gave in two builds from nothing, and the engine that built it."""

    recipe: str
    digest: str
    engine: str


def digests(record: BuildRecord) -> Iterator[tuple[str, str]]:
    """Yield each digest that the inputs of a build gave before, and where that is recorded.

    A committed one is only for what is built without replaced inputs. Raises BadInput for a file
    of digests that cannot be read.
    """
    if record.recipe is None:
        return
    for before in history(record.profile):
        if before.utc < record.utc and before.recipe == record.recipe:
            yield before.digest, f"here at {before.utc} ({before.engine})"
    verified = read().get(record.profile)
    if verified is not None and verified.recipe == record.recipe.digest:
        yield verified.digest, f"in {shown(VERIFIED)} ({verified.engine})"


def comparison(record: BuildRecord) -> str:
    """Return a sentence on whether a build gave what the same inputs gave before."""
    found = list(digests(record))
    if other := [f"{digest[:19]} {where}" for digest, where in found if digest != record.digest]:
        return f"NOT the digest that the same inputs gave before: {', '.join(other)}."
    if not found:
        return "No digest is recorded for these inputs."
    return f"The digest is the one recorded for these inputs {found[-1][1]}."


def remember(record: BuildRecord) -> None:
    """Write down what was verified, for every clone of the repository."""
    assert record.recipe is not None  # it was built just now
    made = read()
    made[record.profile] = Verified(
        recipe=record.recipe.digest, digest=record.digest, engine=record.engine
    )
    tables = {name: each.model_dump() for name, each in sorted(made.items())}
    write_atomic(VERIFIED, HEAD + tomli_w.dumps(tables))


def read() -> dict[str, Verified]:
    """Return what was verified, by profile; raises BadInput for a file that cannot be read."""
    if not VERIFIED.exists():
        return {}
    try:
        tables = tomli.loads(VERIFIED.read_text())
        return {name: Verified.model_validate(table) for name, table in tables.items()}
    except (tomli.TOMLDecodeError, ValidationError) as error:
        raise BadInput(
            f"{shown(VERIFIED)} cannot be read: {error}", hint="git can restore it."
        ) from None
