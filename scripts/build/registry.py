"""A repository of a registry, read and written: manifests, and blobs that are documents."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from scripts.lock import images, lookup
from scripts.lock.images import Tag
from scripts.lock.lookup import NotFound, Unreachable
from scripts.workspace.errors import BadInput, Failure

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True)
class Blob:
    """Bytes with a media type, as a registry keeps them."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> str:
        """The digest by which a registry knows it."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    @property
    def document(self) -> Any:
        """The JSON that it holds."""
        return json.loads(self.content)

    def descriptor(self, **more: object) -> dict[str, object]:
        """Return how another document names it, with `more` keys."""
        described: dict[str, object] = {"mediaType": self.media_type, "digest": self.digest}
        return {**described, "size": len(self.content), **more}


def blob(media_type: str, document: object) -> Blob:
    """Return a document as a registry keeps it: the same document gives the same bytes."""
    return Blob(media_type, json.dumps(document, sort_keys=True).encode())


def parse(reference: str, option: str) -> Tag:
    """Return the tag that an argument of `option` names.

    Raises BadInput for what is no `HOST/NAME[:TAG]`. The host must be there: a push to where a
    short name leads is rarely meant.
    """
    if "@" in reference:
        raise BadInput(f"{option} {reference}: give a tag; its digest is what comes of it.")
    host = reference.partition("/")[0]
    if "/" not in reference or not ({".", ":"} & set(host) or host == "localhost"):
        raise BadInput(
            f"{option} {reference}: that names no registry.",
            hint="Write HOST/NAME:TAG, e.g. docker.io/me/worker:1, or localhost:5000/worker:1",
        )
    try:
        tag = images.parse(reference)
    except NotFound as error:
        raise BadInput(f"{option}: {error}.") from None
    if not tag.repository or tag.repository != tag.repository.lower():
        raise BadInput(f"{option} {reference}: the name of a repository is in lower case.")
    return tag


def manifest(tag: Tag, reference: str = "") -> Blob:
    """Return the manifest or index of the tag, or that of another `reference` beside it.

    Raises Failure when it is not there or the registry does not answer.
    """
    response = _asked(tag, tag.url("manifests", reference or tag.tag))
    return Blob(response.headers.get("content-type", ""), response.content)


def put_blob(tag: Tag, content: Blob) -> None:
    """Put a blob into the tag's repository; raises Failure when the registry does not take it."""
    started = _asked(tag, tag.url("blobs", "uploads/"), "POST")
    import httpx2

    url = httpx2.URL(tag.url("blobs", "")).join(started.headers["location"])
    # A blob is bytes to a registry; what they are, the manifest that names it says.
    sent = Blob("application/octet-stream", content.content)
    _asked(tag, str(url.copy_add_param("digest", content.digest)), "PUT", sent)


def put_manifest(tag: Tag, content: Blob, reference: str = "") -> None:
    """Put a manifest or an index under the tag, or under another `reference`."""
    _asked(tag, tag.url("manifests", reference or tag.tag), "PUT", content)


def _asked(
    tag: Tag, url: str, method: str = "GET", content: Blob | None = None
) -> "httpx2.Response":
    import httpx2

    def once() -> "httpx2.Response":
        with httpx2.Client(timeout=lookup.TIMEOUT_S, follow_redirects=True) as client:
            try:
                if content is None:
                    return images.ask(client, tag, url, method)
                sent = (content.content, content.media_type)
                return images.ask(client, tag, url, method, *sent)
            except (httpx2.RequestError, httpx2.InvalidURL) as error:
                raise lookup.transport_failure(error, tag.host) from None

    response = _answered(once, tag)
    if response.status_code >= 300:
        raise Failure(
            f"the registry {tag.host} refuses {method} in {tag.repository}: "
            f"{response.status_code} {response.text[:200]}",
            hint=f"Is the name right, and are you logged in? docker login {tag.index}",
        )
    return response


def _answered(ask: Callable[[], T], tag: Tag) -> T:
    try:
        return lookup.patiently(ask)
    except (NotFound, Unreachable) as error:
        raise Failure(
            f"the registry {tag.host} gives no answer: {error}.", hint="Check it, then try again."
        ) from None
