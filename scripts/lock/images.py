"""Container images: the digest that a registry has for a tag, asked over HTTP without an engine.

Names and credentials are read as Docker reads them: `docker login` and credential helpers serve.
"""

import hashlib
import ipaddress
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from scripts.lock import lookup
from scripts.lock.lookup import Found, NotFound, Unreachable
from scripts.workspace.model import Image

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

T = TypeVar("T")
PLATFORM = "linux/amd64"
# An index of several platforms, or the manifest of one: as OCI names them, and as Docker did.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True)
class Tag:
    """A tag of a repository; `index` is the registry's name in Docker's settings."""

    index: str
    repository: str
    tag: str

    @property
    def host(self) -> str:
        """The registry's host, with its port if it has one."""
        from docker import auth

        # The registry that a short name means answers at another host than it is named after.
        return urlsplit(auth.INDEX_URL).netloc if self.index == auth.INDEX_NAME else self.index

    def url(self, kind: str, reference: str) -> str:
        """Return the address of a manifest or a blob of the repository."""
        scheme = "http" if _loopback(self.host) else "https"
        return f"{scheme}://{self.host}/v2/{self.repository}/{kind}/{reference}"

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}:{self.tag}"


def parse(reference: str) -> Tag:
    """Return what a reference means to Docker; raises NotFound for what is no tag."""
    from docker import auth
    from docker.errors import InvalidRepository
    from docker.utils import parse_repository_tag

    if "@" in reference:
        raise NotFound(f"{reference} has a digest: give the tag, its digest is what is locked")
    name, tag = parse_repository_tag(reference)
    try:
        index, repository = auth.resolve_repository_name(name)
    except InvalidRepository as error:
        raise NotFound(str(error).rstrip(".")) from None
    if index == auth.INDEX_NAME and "/" not in repository:
        repository = f"library/{repository}"
    return Tag(index, repository, tag or "latest")


def look_up(record: Image) -> Found:
    """Return the reference and the digest that the registry has for it now.

    Raises NotFound when there is no such tag or nothing for PLATFORM under it, Unreachable when
    the registry gives no answer.
    """
    tag = parse(record.reference)
    digest = lookup.within_limit(lambda: _digest(tag), tag.host)
    return Found({"reference": record.reference, "digest": digest})


def _digest(tag: Tag) -> str:
    import httpx2

    with httpx2.Client(timeout=lookup.TIMEOUT_S, follow_redirects=True) as client:
        try:
            response = ask(client, tag, tag.url("manifests", tag.tag))
            document = _document(response, tag)
            # Not what the header says: these are the bytes that were judged.
            digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
            if response.headers.get("docker-content-digest", digest) != digest:
                raise Unreachable(f"{tag.host} gives another manifest than it names")
            platforms = _platforms(client, tag, document)
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise lookup.transport_failure(error, tag.host) from None
    if PLATFORM not in platforms:
        offered = ", ".join(platforms) or "no platform"
        raise NotFound(f"{tag} is for {offered}; {PLATFORM} is needed")
    return digest


def _platforms(client: "httpx2.Client", tag: Tag, document: Any) -> list[str]:
    """Return the platforms of an index, or the one of a manifest, which its configuration tells."""
    if "manifests" in document:
        listed = _of_type(document["manifests"], list, tag)
        described = [
            _of_type(_of_type(each, dict, tag).get("platform") or {}, dict, tag) for each in listed
        ]
    elif "config" in document:
        digest = _of_type(document["config"], dict, tag).get("digest")
        address = tag.url("blobs", _of_type(digest, str, tag))
        described = [_document(ask(client, tag, address), tag)]
    else:
        raise NotFound(f"{tag} is neither an image nor an index of images")
    found = {f"{each.get('os')}/{each.get('architecture')}" for each in described}
    # An attestation is listed beside the images, for no platform.
    return sorted(found - {"unknown/unknown", "None/None"})


def _of_type(value: Any, kind: type[T], tag: Tag) -> T:
    """Return a value of a manifest; raises Unreachable when it is of another type."""
    if not isinstance(value, kind):
        raise _nonsense(tag, 200)
    return value


def _nonsense(tag: Tag, status: int) -> Unreachable:
    return Unreachable(f"{tag.host} answers {status}, but not as a registry does")


def _document(response: "httpx2.Response", tag: Tag) -> Any:
    """Return the JSON object of an answer; raises NotFound or Unreachable for any other one."""
    status = response.status_code
    try:
        document = response.json()
    except ValueError:
        document = None
    if status == 200 and isinstance(document, dict):
        return document
    if status == 404:
        raise NotFound(f"there is no {tag}")
    if status in (401, 403):
        raise Unreachable(
            f"{tag.host} gives no access to {tag.repository} ({status}): it is not there, or it "
            f"wants `docker login {tag.index}`"
        )
    if 400 <= status < 500:
        raise NotFound(f"{tag.host} refuses {tag.repository}:{tag.tag} ({status})")
    raise _nonsense(tag, status)


def ask(
    client: "httpx2.Client",
    tag: Tag,
    url: str,
    method: str = "GET",
    content: bytes = b"",
    media_type: str = "",
) -> "httpx2.Response":
    """Ask a registry something, with the login that it wants; the caller judges the answer.

    Without credentials first: the refusal says which kind of them is wanted. Raises Transient for
    an answer that says `try again`, and what httpx2 raises.
    """
    headers = {"Accept": ", ".join(MANIFESTS)}
    if media_type:
        headers["Content-Type"] = media_type
    response = client.request(method, url, content=content, headers=headers)
    challenge = response.headers.get("www-authenticate", "")
    if response.status_code == 401 and (granted := _authorization(client, tag, challenge)):
        headers["Authorization"] = granted
        response = client.request(method, url, content=content, headers=headers)
    lookup.require_answer(response.status_code, response.headers, tag.host)
    return response


def _authorization(client: "httpx2.Client", tag: Tag, challenge: str) -> str | None:
    """Return the Authorization that a challenge asks for, or None when there is none to give.

    The token protocol: https://distribution.github.io/distribution/spec/auth/
    """
    scheme, _, rest = challenge.partition(" ")
    login = _login(tag)
    basic: dict[str, str] = {}
    if "password" in login:
        pair = b64encode(f"{login['username']}:{login['password']}".encode()).decode()
        basic = {"Authorization": f"Basic {pair}"}
    if scheme.lower() != "bearer":
        return basic.get("Authorization")
    wanted = parse_keqv_list(parse_http_list(rest))
    realm = urlsplit(wanted.get("realm", ""))
    if realm.scheme != "https" and not _loopback(realm.netloc):
        raise Unreachable(f"{tag.host} sends for a token to an address without TLS")
    query: dict[str, str] = {key: wanted[key] for key in ("service", "scope") if key in wanted}
    if "identitytoken" in login:
        grant = {"grant_type": "refresh_token", "client_id": "sdkiln"}
        form = grant | {"refresh_token": login["identitytoken"]} | query
        response = client.post(wanted["realm"], data=form)
    else:
        response = client.get(wanted["realm"], params=query, headers=basic)
    lookup.require_answer(response.status_code, response.headers, realm.netloc)
    if response.status_code != 200:
        return None
    given = _document(response, tag)
    token = given.get("token") or given.get("access_token")
    return f"Bearer {token}" if token else None


def _login(tag: Tag) -> "Mapping[str, str]":
    """Return what Docker's settings hold for a registry: a password, a token or nothing."""
    from docker import auth
    from docker.errors import DockerException

    try:
        found = auth.load_config().resolve_authconfig(tag.index) or {}
    except DockerException as error:
        raise Unreachable(f"Docker's settings give no login for {tag.index}: {error}") from None
    return {key.lower(): value for key, value in found.items()}


def _loopback(host: str) -> bool:
    """Whether a host is this machine: Docker, too, speaks to such a registry without TLS."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
