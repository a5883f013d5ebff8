"""Pins of images, sources, models and Debian packages: rendered, kept, looked up, moved."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import tomli
from huggingface_hub import constants
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.lock import lookup, pins
from scripts.lock.lockfile import Lockfile
from scripts.lock.lookup import ONLY_MISSING, LookUp, Table
from scripts.workspace.errors import BadInput, CheckFailed, Failure
from scripts.workspace.model import Image, Model, Source, Workspace, load
from tests.support import hub
from tests.support.repositories import git, repository
from tests.support.servers import REFUSING, serving

texts = st.text(max_size=20).filter(lambda text: "\x7f" not in text)
keys = st.text("abcdefghijk-0123456789.+", min_size=1)
scalars = st.one_of(texts, st.integers(min_value=0, max_value=2**53))
tables = st.dictionaries(
    st.sampled_from(["digest", "size", "files", "layers"]),
    st.one_of(
        scalars,
        st.lists(texts, max_size=3),
        st.lists(
            st.dictionaries(st.sampled_from(["path", "size"]), scalars, min_size=1), min_size=1
        ),
    ),
)

# The first example builds the strategies, which takes seconds on a busy machine.
UNHURRIED = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)


@UNHURRIED
@given(found=st.dictionaries(keys, tables))
def test_what_is_rendered_is_toml_with_the_same_content(found: dict[str, Table]) -> None:
    assert tomli.loads(pins.render(found)) == found


@UNHURRIED
@given(found=st.dictionaries(keys, tables))
def test_rendering_does_not_depend_on_the_order(found: dict[str, Table]) -> None:
    assert pins.render(dict(reversed(found.items()))) == pins.render(found)


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lockfiles of this test's own, and nobody reachable: a test names whom it asks."""
    monkeypatch.setattr(pins, "LOCKFILES", tmp_path)
    monkeypatch.setattr(lookup, "BACK_OFF_S", 0.001)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", HUGGING_FACE)


HUGGING_FACE = f"http://{REFUSING}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
AWAY = f"http://{REFUSING}/x"
IMAGE = f"{REFUSING}/some/image:1"
DIGEST, OTHER = (f"sha256:{letter * 64}" for letter in "ab")
EVERYTHING = LookUp(names=None)
FRESH = LookUp(names=None, required=True)


def workspace(**tables: Mapping[str, object]) -> Workspace:
    """Return the workspace with these images, sources and models instead of its own."""
    empty: dict[str, Mapping[str, object]] = {"images": {}, "sources": {}, "models": {}}
    return load().model_copy(update=empty | tables)


def words_of(asked: Workspace, kind: str) -> tuple[Path, dict[str, str]]:
    """Return the lockfile of a kind of pins, and the words in which they are asked for."""
    (found,) = [each for each in pins.inputs(asked).items() if each[0].stem == kind]
    return found


def write(asked: Workspace, kind: str, found: dict[str, Table]) -> None:
    """Write a lockfile that follows from `asked`."""
    path, words = words_of(asked, kind)
    path.write_text(Lockfile(path, words, pins.render(found)).text())


def compute(asked: Workspace, kind: str, policy: LookUp = ONLY_MISSING) -> pins.Computed:
    return pins.compute_all(dict([words_of(asked, kind)]), asked, policy)


def body(computed: pins.Computed) -> dict[str, Table]:
    (lock,) = computed.locks
    return tomli.loads(lock.body)


def pinned_image() -> Workspace:
    asked = workspace(images={"python": Image(reference=IMAGE)})
    write(asked, "images", {"python": {"reference": IMAGE, "digest": DIGEST}})
    return asked


def test_a_pin_is_kept_without_asking_while_it_is_asked_for_in_the_same_words() -> None:
    asked = pinned_image()
    computed = compute(asked, "images")
    assert body(computed)["python"]["digest"] == DIGEST
    assert computed.notes == ()


@pytest.mark.parametrize("policy", [EVERYTHING, LookUp(frozenset({"python"}))])
def test_a_pin_that_is_looked_up_and_cannot_be_reached_stays_and_says_why(policy: LookUp) -> None:
    computed = compute(pinned_image(), "images", policy)
    assert body(computed)["python"]["digest"] == DIGEST
    (note,) = computed.notes
    assert note.startswith(f"images.python keeps {'a' * 12}: {REFUSING} could not be reached: ")
    assert note.endswith(" refused.")


def test_a_policy_that_names_another_pin_asks_for_nothing() -> None:
    assert compute(pinned_image(), "images", LookUp(frozenset({"other"}))).notes == ()


def test_what_is_asked_for_in_other_words_must_be_reached() -> None:
    pinned_image()
    changed = workspace(images={"python": Image(reference=f"{IMAGE}-slim")})
    with pytest.raises(Failure, match=r"images\.python: .* refused\.") as failure:
        compute(changed, "images")
    assert failure.value.code == 1


def test_everything_that_must_be_fresh_and_is_not_is_listed_in_one_failure() -> None:
    asked = workspace(
        images={"python": Image(reference=IMAGE), "other": Image(reference=IMAGE)},
        sources={"webui": Source(path=".", ref="v1", origins=(AWAY,))},
    )
    image_pin = {"reference": IMAGE, "digest": DIGEST}
    write(asked, "images", {"python": image_pin, "other": image_pin})
    write(asked, "sources", {"webui": {"commit": "a" * 40}})
    tables = {path: words for path, words in pins.inputs(asked).items() if path.exists()}
    with pytest.raises(Failure) as failure:
        pins.compute_all(tables, asked, FRESH)
    assert failure.value.code == 1
    assert [line.split(":")[0].strip() for line in failure.value.message.splitlines()] == [
        "3 pins could not be looked up",
        "images.python",
        "images.other",
        "sources.webui",
    ]


def test_what_is_not_there_is_bad_input_that_names_the_entry_even_with_a_pin(
    tmp_path: Path,
) -> None:
    origin = repository(tmp_path / "origin").as_uri()
    asked = workspace(sources={"webui": Source(path=".", ref="v2", origins=(origin,))})
    write(asked, "sources", {"webui": {"commit": "a" * 40}})
    with pytest.raises(BadInput, match=r"workspace\.toml: sources\.webui: no origin has v2"):
        compute(asked, "sources", EVERYTHING)


def test_a_tag_that_moved_is_followed_when_it_is_named(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin")
    head = git(origin, "rev-parse", "HEAD")
    asked = workspace(sources={"webui": Source(path=".", ref="v1", origins=(origin.as_uri(),))})
    write(asked, "sources", {"webui": {"commit": "a" * 40}})
    computed = compute(asked, "sources", LookUp(frozenset({"webui"})))
    assert body(computed) == {"webui": {"commit": head}}


def test_a_source_is_looked_up_for_another_ref_and_stays_for_another_origin(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin")
    old = Source(path=".", ref="v0", origins=(origin.as_uri(),))
    write(workspace(sources={"webui": old}), "sources", {"webui": {"commit": "a" * 40}})
    moved = workspace(sources={"webui": old.model_copy(update={"origins": (AWAY,)})})
    assert body(compute(moved, "sources")) == {"webui": {"commit": "a" * 40}}
    other = workspace(sources={"webui": old.model_copy(update={"ref": "v1"})})
    assert body(compute(other, "sources")) == {
        "webui": {"commit": git(origin, "rev-parse", "HEAD")}
    }


def test_the_pin_of_another_ref_stops_no_mirror_while_the_first_origin_is_silent(
    tmp_path: Path,
) -> None:
    """As for a source that is new: nothing that is pinned would move."""
    origin = repository(tmp_path / "origin")
    old = Source(path=".", ref="v0", origins=(AWAY, origin.as_uri()))
    write(workspace(sources={"webui": old}), "sources", {"webui": {"commit": "a" * 40}})
    other = workspace(sources={"webui": old.model_copy(update={"ref": "v1"})})
    assert body(compute(other, "sources")) == {
        "webui": {"commit": git(origin, "rev-parse", "HEAD")}
    }


def test_a_damaged_lockfile_of_what_can_be_reached_is_made_anew(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin").as_uri()
    asked = workspace(sources={"webui": Source(path=".", ref="v1", origins=(origin,))})
    made = compute(asked, "sources").locks[0]
    made.path.write_text(made.text() + "damage\n")
    assert compute(asked, "sources").locks[0] == made


def test_an_entry_that_is_gone_from_the_workspace_is_gone_from_the_lockfile() -> None:
    pinned_image()
    computed = compute(workspace(), "images")
    assert body(computed) == {}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.Hub]:
    made = hub.Hub()
    with serving(made) as host:
        address = HUGGING_FACE.replace(REFUSING, host)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        yield made


def pinned_model(sha256: str) -> Workspace:
    """A model that was pinned by its hash alone, before Hugging Face could be asked."""
    record = Model(checkpoint=hub.FILE, huggingface=hub.REPOSITORY)
    asked = workspace(models={"large": record})
    write(asked, "models", {"large": {"files": [{"path": hub.FILE, "sha256": sha256}]}})
    return asked


def test_a_model_pinned_by_its_hash_alone_is_completed_when_it_is_the_same(fake: hub.Hub) -> None:
    computed = compute(pinned_model(fake.sha256), "models")
    file = {"path": hub.FILE, "size": len(fake.content), "sha256": fake.sha256}
    assert body(computed)["large"] == {"revision": hub.REVISION, "files": [file]}


def test_a_policy_that_names_another_pin_completes_no_model(fake: hub.Hub) -> None:
    computed = compute(pinned_model(fake.sha256), "models", LookUp(frozenset({"other"})))
    assert body(computed)["large"] == {"files": [{"path": hub.FILE, "sha256": fake.sha256}]}


def test_a_model_pinned_by_its_hash_alone_stays_while_nobody_answers() -> None:
    computed = compute(pinned_model("c" * 64), "models")
    assert body(computed)["large"] == {"files": [{"path": hub.FILE, "sha256": "c" * 64}]}
    assert computed.notes[0].startswith(f"models.large keeps {'c' * 12}: ")


def test_a_model_that_was_replaced_is_refused_with_both_hashes(fake: hub.Hub) -> None:
    with pytest.raises(CheckFailed, match=r"models\.large: .* was replaced") as failure:
        compute(pinned_model("c" * 64), "models")
    assert fake.sha256 in failure.value.message
    assert "c" * 64 in failure.value.message
    assert "--upgrade large" in failure.value.hint


def test_a_model_that_was_replaced_is_refused_though_it_is_looked_up(fake: hub.Hub) -> None:
    policy = LookUp(names=None, required=True, replace=False)
    with pytest.raises(CheckFailed, match=r"models\.large: .* was replaced"):
        compute(pinned_model("c" * 64), "models", policy)


def test_a_model_that_was_replaced_is_taken_when_it_is_named(fake: hub.Hub) -> None:
    computed = compute(pinned_model("c" * 64), "models", LookUp(frozenset({"large"})))
    assert body(computed)["large"]["files"][0]["sha256"] == fake.sha256
