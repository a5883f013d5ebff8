"""A built image on its way to a registry: pushed, tried again when it is dropped, and checked."""

from collections.abc import Collection
from contextlib import suppress

from docker.errors import APIError, DockerException, ImageNotFound
from rich.console import Console
from urllib3.exceptions import HTTPError

from scripts.build import attest, registry
from scripts.build.components import components
from scripts.build.engine import Engine
from scripts.build.labels import labels
from scripts.build.record import BuildRecord, save
from scripts.build.retry import failure, patiently
from scripts.lock.images import Tag
from scripts.workspace.errors import BadInput, CheckFailed, Failure
from scripts.workspace.model import Workspace


def publish(
    workspace: Workspace,
    engine: Engine,
    record: BuildRecord,
    tag: Tag,
    kinds: Collection[str],
    console: Console,
) -> BuildRecord:
    """Bring an image to a registry under a tag, with attestations of some `kinds`.

    Returns the record, which names where it is. A builder of the user's own has pushed it already.
    Raises Failure when the registry does not take it, CheckFailed when it holds another manifest,
    BadInput before anything is sent when the lockfiles are not those of the build.
    """
    said = {}
    if kinds:
        # What cannot be told of the image is known before anything is sent.
        parts = components(workspace, record.profile, record.replaced)
        said = attest.predicates(kinds, record, parts)
    if not engine.builder:
        patiently(lambda: _push(engine, record, tag, console), tag.host)
    held = registry.manifest(tag)
    if held.digest != record.digest:
        raise CheckFailed(f"{tag} is {held.digest} now, but {record.digest} was pushed.")
    digest = held.digest
    if said:
        named = attest.annotations(record, labels(workspace, record.profile, record.replaced))
        digest = attest.attach(tag, held, said, named)
    published = record.model_copy(update={"pushed": f"{tag}@{digest}"})
    save(published)
    return published


def _push(engine: Engine, record: BuildRecord, tag: Tag, console: Console) -> None:
    repository = f"{tag.index}/{tag.repository}"
    client = engine.client()
    try:
        client.images.get(record.image).tag(repository, tag.tag)
        with console.status(f"Pushing to {tag.host}") as status:
            sent: dict[str, tuple[int, int]] = {}
            for event in client.api.push(repository, tag.tag, stream=True, decode=True):
                if "error" in event:
                    raise failure(f"{tag}: {event['error']}", hint=_login(tag))
                if whole := event.get("progressDetail", {}).get("total"):
                    sent[event["id"]] = (event["progressDetail"].get("current", 0), whole)
                    done, all_of_it = (sum(each) / 1e6 for each in zip(*sent.values(), strict=True))
                    status.update(f"Pushing to {tag.host}: {done:,.0f} of {all_of_it:,.0f} MB")
    except ImageNotFound:
        raise BadInput(f"the engine no longer has the image {record.image}.") from None
    except APIError as error:
        raise failure(f"{tag}: {error.explanation}", hint=_login(tag)) from None
    # An answer that breaks off is told by what docker's SDK stands on, not by itself.
    except (DockerException, HTTPError, OSError) as error:
        raise Failure(f"the engine stopped in the middle of the push: {error}") from None
    finally:
        # The registry's name was for the push alone.
        with suppress(DockerException, OSError):
            client.images.remove(f"{repository}:{tag.tag}", noprune=True)


def _login(tag: Tag) -> str:
    return f"Is the name right, and are you logged in? docker login {tag.index}"
