"""Models: what a generator writes, and what a fake of Hugging Face tells."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from scripts.lock import lookup, models
from scripts.lock.lookup import NotFound, Unreachable
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Model
from scripts.workspace.paths import ROOT
from tests.support import hub, servers
from tests.support.hub import Hub
from tests.support.servers import Reply, failing_first, serving


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "BACK_OFF_S", 0.001)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")


@pytest.fixture
def fake() -> Hub:
    return Hub()


@pytest.fixture
def endpoint(fake: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving(fake) as host:
        at(host, monkeypatch)
        yield host


def at(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a host the endpoint, as HF_ENDPOINT does when the program starts."""
    path = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"http://{host}{path}")
    monkeypatch.setattr(constants, "ENDPOINT", f"http://{host}")


def look_up(file: str = hub.FILE, repository: str = hub.REPOSITORY) -> lookup.Found:
    return models.look_up(Model(checkpoint=file, huggingface=repository))


def test_a_large_file_is_pinned_by_revision_size_and_hash(endpoint: str, fake: Hub) -> None:
    file = {"path": hub.FILE, "size": len(fake.content), "sha256": fake.sha256}
    assert look_up().pin == {"revision": hub.REVISION, "files": [file]}
    assert fake.tokens == [None]


def test_hf_endpoint_names_another_hub() -> None:
    code = (
        "from scripts.lock import models\n"
        "from scripts.workspace.model import Model\n"
        f"record = Model(checkpoint={hub.FILE!r}, huggingface={hub.REPOSITORY!r})\n"
        "print(models.look_up(record).pin['revision'])\n"
    )
    with serving(Hub()) as host:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": f"http://{host}"},
            capture_output=True,
            text=True,
        )
    assert (done.stdout, done.stderr) == (f"{hub.REVISION}\n", "")


def test_a_small_file_has_no_hash_to_pin(endpoint: str) -> None:
    with pytest.raises(NotFound, match=f"no SHA-256 of {hub.SMALL} of {hub.REPOSITORY}"):
        look_up(hub.SMALL)


def test_a_file_that_is_not_there_is_named_with_its_repository(endpoint: str) -> None:
    with pytest.raises(NotFound, match=f"{hub.REPOSITORY} on {endpoint} has no file nothing"):
        look_up("nothing.safetensors")


def test_a_repository_that_is_not_there_is_named(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
    with pytest.raises(NotFound, match=f"there is no no/such on {endpoint}"):
        look_up(repository="no/such")


def test_a_name_that_cannot_be_one_is_not_asked_for(endpoint: str, fake: Hub) -> None:
    with pytest.raises(NotFound):
        look_up(repository="a/b/c")
    assert fake.tokens == []


def test_without_a_token_a_hidden_repository_asks_for_one(endpoint: str, fake: Hub) -> None:
    fake.private = True
    with pytest.raises(Unreachable, match="HF_TOKEN"):
        look_up()


def test_the_token_opens_a_private_repository(
    endpoint: str, fake: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.private = True
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
    assert look_up().pin["revision"] == hub.REVISION
    assert fake.tokens == [f"Bearer {hub.TOKEN}"]


def test_a_gated_repository_says_what_to_do_and_not_the_token(
    endpoint: str, fake: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.gated = True
    monkeypatch.setenv("HF_TOKEN", hub.TOKEN)
    with pytest.raises(Unreachable, match=r"is gated: accept its terms .* HF_TOKEN") as failure:
        look_up()
    assert hub.TOKEN not in str(failure.value)


def test_a_hub_that_is_away_for_a_moment_is_asked_again(
    fake: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(failing_first(2, Reply(503), fake)) as host:
        at(host, monkeypatch)
        assert look_up().pin["revision"] == hub.REVISION


@pytest.mark.parametrize(
    "reply", [Reply(500), Reply(429, b"", {"Retry-After": "300"}), Reply(200, b"<html>Welcome")]
)
def test_a_host_that_does_not_answer_as_hugging_face_does_is_unreachable(
    reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda request: reply) as host:
        at(host, monkeypatch)
        with pytest.raises(Unreachable, match=host):
            look_up()


@pytest.mark.parametrize("server", [servers.silent, servers.black_hole, servers.dying])
def test_a_hub_that_does_not_answer_is_unreachable(
    server: servers.Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "TIMEOUT_S", 0.2)
    with server() as host:
        at(host, monkeypatch)
        with pytest.raises(Unreachable, match=f"{host} could not be reached"):
            look_up()


def test_a_hub_that_refuses_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    at(servers.REFUSING, monkeypatch)
    with pytest.raises(Unreachable, match="refused"):
        look_up()


def test_a_generated_model_is_pinned_by_each_file_that_is_written(tmp_path: Path) -> None:
    script = tmp_path / "generator.py"
    script.write_text(
        "import pathlib, sys\n"
        "(pathlib.Path(sys.argv[1]) / 'sub').mkdir()\n"
        "(pathlib.Path(sys.argv[1]) / 'sub' / 'b').write_text('b')\n"
        "(pathlib.Path(sys.argv[1]) / 'a').write_text('')\n"
    )
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    made = models.generated(Model(checkpoint="a", generator=str(script)))
    assert made["files"][0] == {"path": "a", "size": 0, "sha256": empty}
    assert [file["path"] for file in made["files"]] == ["a", "sub/b"]


def test_a_generator_that_fails_is_bad_input(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('out of clay')\n")
    with pytest.raises(BadInput, match="out of clay"):
        models.generated(Model(checkpoint="x", generator=str(script)))
