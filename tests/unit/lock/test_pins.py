"""Pins of images, sources, models and Debian packages: rendering and look-up."""

import subprocess
from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from scripts.lock import pins
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import Model, Source, load

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


@given(found=st.dictionaries(keys, tables))
def test_what_is_rendered_is_toml_with_the_same_content(found: dict[str, pins.Table]) -> None:
    assert tomli.loads(pins.render(found)) == found


@given(found=st.dictionaries(keys, tables))
def test_rendering_does_not_depend_on_the_order(found: dict[str, pins.Table]) -> None:
    assert pins.render(dict(reversed(found.items()))) == pins.render(found)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    repository = tmp_path / "origin"
    repository.mkdir()
    git(repository, "init", "--quiet")
    git(repository, "commit", "--quiet", "--allow-empty", "--message=one")
    git(repository, "tag", "--annotate", "v1", "--message=v1")
    return repository


def source(origin: str, ref: str, *more: str) -> Source:
    return Source(path=".", ref=ref, origins=(origin, *more))


def test_an_annotated_tag_is_pinned_by_its_commit(origin: Path) -> None:
    found = pins.source(source(origin.as_uri(), "v1"))
    assert found == {"commit": git(origin, "rev-parse", "v1^{commit}")}


def test_the_next_origin_is_asked_when_the_first_is_gone(origin: Path, tmp_path: Path) -> None:
    gone = (tmp_path / "gone").as_uri()
    assert "commit" in pins.source(source(gone, "v1", origin.as_uri()))


def test_a_ref_that_no_origin_has_is_a_failure_that_names_them(origin: Path) -> None:
    with pytest.raises(Failure, match=f"{origin.as_uri()}: has no v2"):
        pins.source(source(origin.as_uri(), "v2"))


def test_a_commit_is_its_own_pin() -> None:
    assert pins.source(source("file:///nowhere", "a" * 40)) == {"commit": "a" * 40}


def test_a_generator_that_fails_is_bad_input(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('out of clay')\n")
    with pytest.raises(BadInput, match="out of clay"):
        pins.model(Model(checkpoint="x", generator=str(script)))


def test_a_damaged_lockfile_of_what_can_be_computed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "LOCKFILES", tmp_path)
    workspace = load()
    commits = {name: each for name, each in workspace.sources.items() if len(each.ref) == 40}
    changed = workspace.model_copy(update={"sources": commits})
    path = tmp_path / "sources.toml"
    asked = pins.inputs(changed)[path]
    made = pins.compute(path, asked, changed)
    path.write_text(made.text() + "damage\n")
    assert pins.compute(path, asked, changed) == made
