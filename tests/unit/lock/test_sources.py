"""Git sources, over file:// and git's own HTTP server: refs, mirrors, and what goes wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lock import lookup, sources
from scripts.lock.lookup import NotFound, Unreachable
from scripts.workspace.model import Source
from tests.support import servers
from tests.support.repositories import backend, commit, git, over_http, repository
from tests.support.servers import Reply, Request, failing_first, serving

ids = st.text("0123456789abcdef", min_size=40, max_size=40)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "BACK_OFF_S", 0.001)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return repository(tmp_path / "origin")


@pytest.fixture
def mirror(tmp_path: Path, origin: Path) -> Path:
    git(tmp_path, "clone", "--quiet", origin.as_uri(), "mirror")
    return tmp_path / "mirror"


def source(ref: str, *origins: "Path | str") -> Source:
    named = [each.as_uri() if isinstance(each, Path) else each for each in origins]
    return Source(path=".", ref=ref, origins=tuple(named))


def head(repository: Path) -> str:
    return git(repository, "rev-parse", "HEAD")


def move_tag(repository: Path) -> str:
    """Make a commit and move v1 there; return it."""
    moved = commit(repository, "two")
    git(repository, "tag", "--force", "--annotate", "v1", "--message=moved")
    return moved


@given(tag=ids, peeled=ids, branch=ids, other=ids)
def test_a_short_name_means_the_tag_peeled_and_nothing_that_only_ends_so(
    tag: str, peeled: str, branch: str, other: str
) -> None:
    lines = [
        f"{branch}\trefs/heads/v1",
        f"{other}\trefs/heads/old/v1",
        f"{tag}\trefs/tags/v1",
        f"{peeled}\trefs/tags/v1^{{}}",
    ]
    assert sources.resolve("\n".join(lines), "v1") == peeled
    assert sources.resolve("\n".join(lines[:3]), "v1") == tag
    assert sources.resolve("\n".join(lines[:2]), "v1") == branch
    assert sources.resolve(lines[1], "v1") is None
    assert sources.resolve("\n".join(lines), "refs/heads/v1") == branch
    assert sources.resolve("", "v1") is None


def test_an_annotated_tag_is_pinned_by_its_commit(origin: Path) -> None:
    assert sources.look_up(source("v1", origin), None).pin == {"commit": head(origin)}


@pytest.mark.parametrize("protocol", [2, 0])
def test_an_http_server_is_asked_by_commit_or_by_all_refs(
    tmp_path: Path, origin: Path, protocol: int
) -> None:
    """Before protocol 2 a server refuses a commit by its id, if no ref is at it."""
    old = head(origin)
    commit(origin, "two")
    git(origin, "tag", "--delete", "v1")
    with over_http(tmp_path, protocol) as address:
        found = sources.look_up(source(old, f"{address}/origin/.git"), None)
        branch = sources.look_up(source("master", f"{address}/origin/.git"), None)
    assert found.pin == {"commit": old}
    assert found.notes == ()
    assert branch.pin == {"commit": head(origin)}


def test_a_server_that_only_has_files_is_a_mirror(tmp_path: Path, origin: Path) -> None:
    """As a copy of a repository in an object store is: git fetches from it what it finds."""
    old = head(origin)
    commit(origin, "two")
    git(origin, "update-server-info")

    def respond(request: Request) -> Reply:
        file = tmp_path / request.path.partition("?")[0].lstrip("/")
        return Reply(200, file.read_bytes()) if file.is_file() else Reply(404)

    with serving(respond) as host:
        assert sources.look_up(source(old, f"http://{host}/origin/.git"), None).notes == ()
        with pytest.raises(NotFound, match="does not have commit"):
            sources.look_up(source("a" * 40, f"http://{host}/origin/.git"), None)


def test_a_commit_that_no_origin_has_is_not_found_and_names_each(
    origin: Path, mirror: Path
) -> None:
    with pytest.raises(NotFound) as failure:
        sources.look_up(source("a" * 40, origin, mirror), None)
    assert f"{origin.as_uri()}: does not have commit {'a' * 40}" in str(failure.value)
    assert mirror.as_uri() in str(failure.value)


def test_a_mirror_does_not_move_a_pin_while_the_origin_before_it_is_silent(
    tmp_path: Path, origin: Path, mirror: Path
) -> None:
    pinned = head(origin)
    commit(mirror, "two")
    git(mirror, "tag", "--force", "v1")
    away = "http://127.0.0.1:1/away.git"
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1.*; .*mirror has v1 at"):
        sources.look_up(source("v1", away, mirror), pinned)
    # It may confirm what is pinned, and say where a ref is that was never pinned.
    assert sources.look_up(source("v1", away, mirror), head(mirror)).pin["commit"] == head(mirror)
    assert sources.look_up(source("v1", away, mirror), None).pin["commit"] == head(mirror)
    # One that answers that it has no such repository has had its say.
    gone = (tmp_path / "gone").as_uri()
    assert sources.look_up(source("v1", gone, mirror), pinned).pin["commit"] == head(mirror)


def test_the_id_of_a_tag_is_no_commit(origin: Path) -> None:
    tag = git(origin, "rev-parse", "v1")
    with pytest.raises(NotFound, match=f"does not have commit {tag}"):
        sources.look_up(source(tag, origin), None)


def test_a_ref_that_no_origin_has_is_not_found_and_names_each(origin: Path, mirror: Path) -> None:
    with pytest.raises(NotFound) as failure:
        sources.look_up(source("v2", origin, mirror), None)
    assert str(failure.value) == (
        f"no origin has v2; {origin.as_uri()}: has no v2; {mirror.as_uri()}: has no v2"
    )


def test_the_next_origin_tells_the_commit_when_the_first_was_deleted(
    tmp_path: Path, origin: Path
) -> None:
    gone = (tmp_path / "gone").as_uri()
    found = sources.look_up(source("v1", gone, origin), None)
    assert found.pin == {"commit": head(origin)}
    (note,) = found.notes
    assert note.startswith(f"{gone}: ")
    assert note.endswith("does not appear to be a git repository")


def test_an_origin_that_lost_the_ref_but_has_the_commit_is_a_mirror(
    origin: Path, mirror: Path
) -> None:
    git(mirror, "tag", "--delete", "v1")
    assert sources.look_up(source("v1", origin, mirror), None).notes == ()


def test_a_mirror_without_the_very_commit_is_named(origin: Path, mirror: Path) -> None:
    moved = commit(origin, "two")
    found = sources.look_up(source("master", origin, mirror), None)
    assert found.pin == {"commit": moved}
    assert f"{mirror.as_uri()}: does not have commit {moved}" in found.notes


def test_a_tag_that_only_the_first_origin_moved_is_told_with_both_commits(
    origin: Path, mirror: Path
) -> None:
    pinned = head(origin)
    moved = move_tag(origin)
    found = sources.look_up(source("v1", origin, mirror), pinned)
    assert found.pin == {"commit": moved}
    assert (
        f"{origin.as_uri()} has v1 at {moved}, but {mirror.as_uri()} at {pinned}, "
        "as it was pinned" in found.notes
    )


def test_a_tag_that_only_a_mirror_moved_leaves_the_pin(origin: Path, mirror: Path) -> None:
    pinned = head(origin)
    moved = move_tag(mirror)
    found = sources.look_up(source("v1", origin, mirror), pinned)
    assert found.pin == {"commit": pinned}
    assert f"{origin.as_uri()} has v1 at {pinned}, but {mirror.as_uri()} at {moved}" in found.notes


def test_a_commit_that_the_silent_origin_may_have_is_not_called_missing(origin: Path) -> None:
    away = f"http://{servers.REFUSING}/x"
    with pytest.raises(Unreachable) as failure:
        sources.look_up(source("a" * 40, away, origin), None)
    assert away in str(failure.value)
    assert f"{origin.as_uri()}: does not have commit" in str(failure.value)


def test_a_server_that_is_away_for_a_moment_is_asked_again(tmp_path: Path, origin: Path) -> None:
    with serving(failing_first(2, Reply(503), backend(tmp_path))) as host:
        found = sources.look_up(source("v1", f"http://{host}/origin/.git"), None)
    assert found == lookup.Found({"commit": head(origin)})


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(Reply(404), NotFound), (Reply(500), Unreachable), (Reply(403), Unreachable)],
)
def test_what_a_server_answers_tells_missing_from_away(reply: Reply, kind: type[Exception]) -> None:
    with serving(lambda request: reply) as host, pytest.raises(kind, match=host):
        sources.look_up(source("v1", f"http://{host}/x"), None)


def test_a_repository_that_asks_for_a_password_is_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GIT_ASKPASS", raising=False)
    reply = Reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
    with (
        serving(lambda request: reply) as host,
        pytest.raises(Unreachable, match="could not read Username"),
    ):
        sources.look_up(source("v1", f"http://{host}/x"), None)


@pytest.mark.parametrize("server", [servers.silent, servers.black_hole, servers.dying])
def test_a_server_that_does_not_answer_is_unreachable(
    server: servers.Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "TIMEOUT_S", 0.3)
    with server() as host, pytest.raises(Unreachable, match=host):
        sources.look_up(source("v1", f"http://{host}/x"), None)


def test_a_look_up_in_a_hook_of_git_leaves_the_repository_of_the_hook_alone(
    origin: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (mirror / ".git" / "config").read_text()
    monkeypatch.setenv("GIT_DIR", str(mirror / ".git"))
    assert sources.look_up(source("v1", origin), None).notes == ()
    assert (mirror / ".git" / "config").read_text() == settings
