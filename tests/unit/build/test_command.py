"""`build` as a command: what is checked before an image leaves the machine, and before it begins.

Stand-ins take the place of the engine, of buildx and of the registry.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.build import __main__ as command
from scripts.build import build, contexts, engine, exchange, record, recorded, verify
from scripts.build.engine import Engine
from scripts.build.options import parser
from scripts.build.recipe import Recipe
from scripts.build.record import BuildRecord, Layer
from scripts.lock import pins
from scripts.workspace.errors import BadInput, CheckFailed, Failure
from tests.support.records import build_record

ENGINE = Engine("unix:///nowhere.sock", Path("/bin/docker"), embedded=False)
BUILDER = Engine("unix:///nowhere.sock", Path("/bin/docker"), embedded=False, builder="away")
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
PUSH = "--push=localhost:1/worker:1"
MADE = build_record(digest=ONE, recipe=Recipe(parts={}, stages={}))


def run(*arguments: str) -> int:
    return command.main(parser().parse_args(list(arguments)))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """What is done, in its order, while nothing is built."""
    steps: list[str] = []

    def publish(*given: object) -> BuildRecord:
        steps.append(f"published {given[4]!r}")
        return MADE.model_copy(update={"pushed": f"localhost:1/worker:1@{ONE}"})

    def differences(*_given: object) -> list[str]:
        steps.append("verified")
        return []

    monkeypatch.setattr(engine, "ensure", lambda: ENGINE)
    monkeypatch.setattr(exchange, "built_by", lambda *_given: BUILDER)
    monkeypatch.setattr(command, "build", lambda *_given: (MADE, True))
    monkeypatch.setattr(command, "publish", publish)
    monkeypatch.setattr(verify, "require", lambda *_given: None)
    monkeypatch.setattr(verify, "differences", differences)
    monkeypatch.setattr(record, "BUILDS", tmp_path)
    monkeypatch.setattr(recorded, "VERIFIED", tmp_path / "verified.toml")
    yield steps


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--target=layuot", "has no stage layuot. Did you mean layout?"),
        ("--shell=layuot", "has no stage layuot. Did you mean layout?"),
        ("--context=model=/no/such/folder", "there is no folder /no/such/folder"),
    ],
)
def test_no_engine_is_started_for_what_it_cannot_build(
    monkeypatch: pytest.MonkeyPatch, argument: str, said: str
) -> None:
    monkeypatch.setattr(engine, "ensure", lambda: pytest.fail("it was started"))
    with pytest.raises(BadInput) as failure:
        run(argument)
    assert said in failure.value.message


@pytest.mark.parametrize("table", ["sources", "models", "images"])
def test_no_engine_is_started_for_inputs_without_a_pin(
    monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    def without(name: str) -> dict[str, Any]:
        return {} if name == table else pins.entries(name)

    for module in (build, contexts):
        monkeypatch.setattr(module, "entries", without)
    monkeypatch.setattr(engine, "ensure", lambda: pytest.fail("it was started"))
    with pytest.raises(BadInput, match=rf"{table}\..* is not pinned"):
        run("--profile=runpod")


def refuse(_record: BuildRecord) -> None:
    raise CheckFailed("not the verified one")


def test_an_image_is_published_once_it_is_verified(done: list[str]) -> None:
    assert run("--verify", PUSH, "--attest=sbom") == 0
    assert done == ["verified", "published ['sbom']"]


def test_an_image_that_differs_when_it_is_built_again_is_not_published(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "differences", lambda *_given: ["a file differs"])
    with pytest.raises(CheckFailed, match="not the same when it is built again"):
        run("--verify", PUSH)
    assert done == []


def test_what_a_builder_has_pushed_is_recorded_though_a_check_says_no(
    done: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        recorded, "comparison", lambda _record: recorded.Comparison(False, "another")
    )
    monkeypatch.setattr(recorded, "hold_to_verified", refuse)
    with pytest.raises(CheckFailed, match="not the verified one"):
        run("--builder=away", PUSH, "--attest=sbom")
    assert done == ["published ()"]
    assert f"pushed it already: localhost:1/worker:1@{ONE}" in capsys.readouterr().err
    with pytest.raises(CheckFailed):
        run(PUSH)
    assert done == ["published ()"]


def test_an_image_of_more_layers_than_are_allowed_is_not_published(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_base = Layer(name="base", digest="", size=1, unpacked=1, cached=False, seconds=0)
    many = MADE.model_copy(update={"layers": (of_base,) * 200})
    monkeypatch.setattr(command, "build", lambda *_given: (many, True))
    with pytest.raises(CheckFailed, match="it has 200 layers"):
        run(PUSH)
    assert done == []


def test_a_registry_that_does_not_answer_hides_no_check(
    done: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(*_given: object) -> None:
        raise Failure("no answer")

    monkeypatch.setattr(
        recorded, "comparison", lambda _record: recorded.Comparison(False, "another")
    )
    monkeypatch.setattr(recorded, "hold_to_verified", refuse)
    monkeypatch.setattr(command, "publish", silent)
    with pytest.raises(CheckFailed, match="not the verified one"):
        run("--builder=away", PUSH)
    assert "could not be recorded" in capsys.readouterr().err
