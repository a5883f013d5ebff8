"""Small images for tests, and a fake registry for what the real one needs too much for: tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from scripts.build.registry import CONFIG, INDEX, MANIFEST, Blob, blob
from tests.support.servers import Reply, Request


@dataclass(frozen=True)
class Image:
    """An image without layers for one platform."""

    config: Blob
    manifest: Blob


def image(architecture: str, word: str = "") -> Image:
    """Return an image of linux; another `word` makes another image."""
    document = {"os": "linux", "architecture": architecture, "author": word}
    config = blob(CONFIG, {**document, "rootfs": {"type": "layers", "diff_ids": []}})
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor()}
    return Image(config, blob(MANIFEST, {**manifest, "layers": []}))


def index(images: Sequence[tuple[str, Image]]) -> Blob:
    """Return the index of images by architecture."""
    manifests = [
        {**each.manifest.descriptor(), "platform": {"os": "linux", "architecture": architecture}}
        for architecture, each in images
    ]
    return blob(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


@dataclass
class FakeRegistry:
    """A fake: one tag, behind the token protocol when `realm` is the address of its own /token.

    A token is given to who has no login (unless `anonymous` is false), to user and password, and
    to a refresh token; `grants` keeps which it was.
    """

    manifest: Blob
    realm: str = ""
    anonymous: bool = True
    grants: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        """Answer for the token or the manifest."""
        address = urlsplit(request.path)
        if address.path == "/token":
            return self._token(request, parse_qs(address.query))
        if self.realm and request.headers.get("authorization") != "Bearer granted":
            scope = "repository:some/image:pull"
            challenge = f'Bearer realm="{self.realm}",service="a, b",scope="{scope}"'
            return Reply(401, b"{}", {"WWW-Authenticate": challenge})
        if address.path != "/v2/some/image/manifests/1":
            return Reply(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        return Reply(200, self.manifest.content, {"Content-Type": self.manifest.media_type})

    def _token(self, request: Request, query: dict[str, list[str]]) -> Reply:
        form = parse_qs(request.body.decode())
        asked = query or form
        assert asked["service"] == ["a, b"]
        assert asked["scope"] == ["repository:some/image:pull"]
        if form.get("refresh_token") == ["an-identity"]:
            self.grants.append("refresh token")
        elif request.headers.get("authorization") == "Basic dXNlcjpwYXNz":  # user:pass
            self.grants.append("password")
        elif self.anonymous and request.headers.get("authorization") is None:
            self.grants.append("anonymous")
        else:
            return Reply(401, b"{}")
        return Reply(200, b'{"token": "granted"}')
