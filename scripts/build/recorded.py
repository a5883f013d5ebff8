"""The digests that inputs gave before: here, and in the last build that was verified."""

from collections.abc import Iterator
from dataclasses import dataclass

import tomli
import tomli_w
from pydantic import ValidationError

from scripts.build import bake
from scripts.build import recipe as recipes
from scripts.build.record import BuildRecord, history
from scripts.workspace.errors import BadInput, CheckFailed
from scripts.workspace.files import write_atomic
from scripts.workspace.model import Record, Workspace
from scripts.workspace.paths import DOCKER, shown

VERIFIED = DOCKER / "verified.toml"
HEAD = (
    "# Made by `./nox -s build -- --verify`: the digests that the inputs of then gave in one\n"
    "# engine and, built from nothing and in another order, in a second one.\n"
)


class Verified(Record):
    """The digest that a recipe gave in two engines, and which engine the first was."""

    recipe: str
    digest: str
    engine: str


def digests(record: BuildRecord) -> Iterator[tuple[str, str]]:
    """Yield the digests that the inputs of a build gave before, and where that is recorded.

    Here the last time, and when it was verified; that is only for what is built without replaced
    inputs. Raises BadInput for a file of digests that cannot be read.
    """
    if record.recipe is None:
        return
    # The newest come first: the older ones need not be read.
    before = (each for each in history(record.profile) if each.utc < record.utc)
    last = next((each for each in before if each.recipe == record.recipe), None)
    if last is not None:
        yield last.digest, f"here at {last.utc} ({last.engine})"
    if (verified := _verified(record)) is not None:
        yield verified.digest, f"in {shown(VERIFIED)} ({verified.engine})"


def _verified(record: BuildRecord) -> Verified | None:
    verified = read().get(record.profile)
    same = verified and record.recipe and verified.recipe == record.recipe.digest
    return verified if same else None


@dataclass(frozen=True)
class Comparison:
    """Whether a build gave what the same inputs gave before, as a sentence for a person."""

    same: bool
    sentence: str


def comparison(record: BuildRecord) -> Comparison:
    """Hold a build against what the same inputs gave before; no record counts as the same.

    An image by tag may have moved: that its name is the same says nothing.
    """
    if moving := bake.floating(record.replaced):
        return Comparison(
            True,
            "Not compared with builds of before: without a digest, "
            f"{' and '.join(moving)} may be another image each time.",
        )
    found = list(digests(record))
    if other := [f"{digest[:19]} {where}" for digest, where in found if digest != record.digest]:
        return Comparison(
            False, f"NOT the digest that the same inputs gave before: {', '.join(other)}."
        )
    if not found:
        return Comparison(True, "No digest is recorded for these inputs.")
    return Comparison(True, f"The digest is the one recorded for these inputs {found[-1][1]}.")


def is_of_now(workspace: Workspace, record: BuildRecord) -> bool:
    """Return whether a build was of the inputs as they are; so it counts where it does not say."""
    made = record.recipe
    return made is None or made == recipes.recipe(workspace, record.profile, record.replaced)


def hold_to_verified(record: BuildRecord) -> None:
    """Raise CheckFailed for an image that is not the one that was verified of the same inputs."""
    verified = _verified(record)
    if verified is not None and verified.digest != record.digest:
        raise CheckFailed(
            f"{record.image} is built, but it is not the image that was verified of these inputs.",
            hint="./nox -s build -- --verify builds it again from nothing, and says what differs "
            "or records the new digest.",
        )


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
