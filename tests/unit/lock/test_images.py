"""Container images: names, logins and failures. The real registry's tests are in tests/registry."""

import base64
import json
from pathlib import Path
from threading import Event

import pytest
from docker import auth
from hypothesis import given
from hypothesis import strategies as st

from scripts.build.registry import Blob
from scripts.lock import images, lookup
from scripts.lock.images import Tag
from scripts.lock.lookup import NotFound, Unreachable
from scripts.workspace.model import Image
from tests.support import oci, servers
from tests.support.oci import FakeRegistry
from tests.support.servers import Reply, Request, failing_first, serving

WORDS = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lookup, "BACK_OFF_S", 0.001)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.fixture
def index() -> Blob:
    return oci.index([("amd64", oci.image("amd64")), ("arm64", oci.image("arm64"))])


def look_up(host: str) -> lookup.Found:
    return images.look_up(Image(reference=f"{host}/some/image:1"))


def docker_login(folder: Path, host: str, entry: dict[str, str]) -> None:
    """Write what `docker login` keeps."""
    (folder / "config.json").write_text(json.dumps({"auths": {host: entry}}))


def plain(word: str) -> str:
    return base64.b64encode(word.encode()).decode()


def test_a_short_name_means_the_library_of_the_default_registry() -> None:
    assert images.parse("python:3.10-slim") == Tag(auth.INDEX_NAME, "library/python", "3.10-slim")
    assert images.parse("python") == Tag(auth.INDEX_NAME, "library/python", "latest")
    assert images.parse("someone/app:1") == Tag(auth.INDEX_NAME, "someone/app", "1")
    assert images.parse(f"{auth.INDEX_NAME}/python:3") == Tag(
        auth.INDEX_NAME, "library/python", "3"
    )


@given(
    host=st.sampled_from(["localhost", "localhost:5000", "registry.example", "127.0.0.1:80"]),
    path=st.lists(WORDS, min_size=1, max_size=3),
    tag=WORDS,
)
def test_a_name_with_a_host_is_taken_apart_and_put_together(
    host: str, path: list[str], tag: str
) -> None:
    found = images.parse(f"{host}/{'/'.join(path)}:{tag}")
    assert found == Tag(host, "/".join(path), tag)
    assert str(found) == f"{host}/{'/'.join(path)}:{tag}"


@pytest.mark.parametrize(
    ("index", "scheme"),
    [
        ("registry.example:80", "https"),
        ("localhost:5000", "http"),
        ("127.0.0.2", "http"),
        ("[::1]:5000", "http"),
        ("10.0.0.1:5000", "https"),
        ("localhost.example", "https"),
    ],
)
def test_only_a_registry_on_this_machine_is_asked_without_tls(index: str, scheme: str) -> None:
    assert Tag(index, "a", "1").url("manifests", "1") == f"{scheme}://{index}/v2/a/manifests/1"


@pytest.mark.parametrize("reference", ["python@sha256:" + "0" * 64, "https://host/python:3"])
def test_what_is_no_tag_is_refused_before_anyone_is_asked(reference: str) -> None:
    with pytest.raises(NotFound, match=r"digest|scheme"):
        images.parse(reference)


@pytest.mark.parametrize(
    ("entry", "granted"),
    [
        ({}, "anonymous"),
        ({"auth": plain("user:pass")}, "password"),
        ({"identitytoken": "an-identity"}, "refresh token"),
    ],
)
def test_a_token_is_asked_for_with_what_docker_login_kept(
    index: Blob, tmp_path: Path, entry: dict[str, str], granted: str
) -> None:
    registry = FakeRegistry(index)
    with serving(registry) as host:
        registry.realm = f"http://{host}/token"
        docker_login(tmp_path, host, entry)
        assert look_up(host).pin["digest"] == index.digest
    assert registry.grants == [granted]


def test_a_credential_helper_is_asked(
    index: Blob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-of-a-test"
    helper.write_text('#!/bin/sh\necho \'{"Username": "user", "Secret": "pass"}\'\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "of-a-test"}))
    registry = FakeRegistry(index)
    with serving(registry) as host:
        registry.realm = f"http://{host}/token"
        assert look_up(host).pin["digest"] == index.digest
    assert registry.grants == ["password"]


def test_a_wrong_password_asks_for_a_login_and_is_not_shown(index: Blob, tmp_path: Path) -> None:
    registry = FakeRegistry(index)
    with serving(registry) as host:
        registry.realm = f"http://{host}/token"
        docker_login(tmp_path, host, {"auth": plain("user:hunter2")})
        with pytest.raises(Unreachable, match=f"docker login {host}") as failure:
            look_up(host)
    assert "hunter2" not in str(failure.value)


def test_credentials_are_not_sent_where_there_is_no_tls(index: Blob, tmp_path: Path) -> None:
    with serving(FakeRegistry(index, realm="http://registry.example/token")) as host:
        docker_login(tmp_path, host, {"auth": plain("user:pass")})
        with pytest.raises(Unreachable, match="without TLS"):
            look_up(host)


def test_a_registry_that_is_away_for_a_moment_is_asked_again(index: Blob) -> None:
    with serving(failing_first(2, Reply(503), FakeRegistry(index))) as host:
        assert look_up(host).pin["digest"] == index.digest


def test_a_registry_that_does_not_answer_in_time_is_asked_again(
    index: Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "TIMEOUT_S", 0.2)
    registry, in_time = FakeRegistry(index), Event()
    first = [True]

    def respond(request: Request) -> Reply:
        if first and first.pop():
            in_time.wait()
        return registry(request)

    with serving(respond) as host:
        assert look_up(host).pin["digest"] == index.digest
        in_time.set()


def test_content_that_is_not_what_its_digest_says_is_not_pinned(index: Blob) -> None:
    reply = Reply(200, index.content, {"Docker-Content-Digest": "sha256:" + "0" * 64})
    with (
        serving(lambda request: reply) as host,
        pytest.raises(Unreachable, match="another manifest than it names"),
    ):
        look_up(host)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Welcome to the hotel"),
        Reply(500),
        Reply(429, b"", {"Retry-After": "21600"}),
        Reply(401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'}),
        Reply(401, b"{}"),
    ],
)
def test_a_host_that_gives_no_manifest_is_unreachable(reply: Reply) -> None:
    with serving(lambda request: reply) as host, pytest.raises(Unreachable, match=host):
        look_up(host)


@pytest.mark.parametrize(
    "manifest",
    [
        {"manifests": None},
        {"manifests": {}},
        {"manifests": ["linux/amd64"]},
        {"manifests": [{"platform": "linux/amd64"}]},
        {"config": None},
        {"config": {}},
        {"config": {"digest": 1}},
    ],
)
def test_a_manifest_of_other_types_than_a_registry_has_is_no_answer(manifest: object) -> None:
    reply = Reply(200, json.dumps(manifest).encode())
    with (
        serving(lambda request: reply) as host,
        pytest.raises(Unreachable, match=f"{host} answers 200, but not as a registry does"),
    ):
        look_up(host)


@pytest.mark.parametrize("server", [servers.silent, servers.black_hole, servers.dying])
def test_a_registry_that_does_not_answer_is_unreachable(
    server: servers.Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "TIMEOUT_S", 0.2)
    with server() as host, pytest.raises(Unreachable, match=f"{host} could not be reached"):
        look_up(host)


def test_a_registry_that_refuses_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="refused"):
        look_up(servers.REFUSING)
