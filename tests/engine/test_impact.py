"""What `build --impact` foretells is what a build then does."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from scripts.build.record import BuildRecord
from scripts.workspace.paths import WORKSPACE
from tests.support.clones import fresh_clone
from tests.support.commands import Done, command
from tests.support.layers import small

# The engine and its caches are those of the other tests.
SHARED = {"SDKILN_WORKSPACE": str(WORKSPACE)}
LATEST = WORKSPACE / "builds" / "sandbox" / "latest.json"
Change = Callable[[Path], None]
# The engine may hold what an earlier run of these tests built.
UNSEEN = f"# {uuid4()}\n"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, image: BuildRecord) -> Iterator[Path]:
    """A clone whose inputs a test may change, built once with small layers."""
    yield fresh_clone(tmp_path_factory.mktemp("impact") / "sdkiln")
    assert command("build").returncode == 0


def build(clone: Path, *arguments: str) -> Done:
    contexts = small(clone.parent)
    return command("build", *arguments, *contexts, root=clone, environment=SHARED, timeout_s=900)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def edit_the_handler(clone: Path) -> None:
    with (clone / "docker" / "worker" / "handler.py").open("a") as file:
        file.write(UNSEEN)


def add_a_launch_option(clone: Path) -> None:
    replace(clone / "workspace.toml", '"--no-half"]', '"--no-half", "--loglevel", "INFO"]')


def take_an_older_package(clone: Path) -> None:
    with (clone / "requirements" / "worker.in").open("a") as file:
        file.write("idna<3.10\n")
    done = command("lock", root=clone, environment=SHARED)
    assert done.returncode == 0, done.stderr


def edit_the_stand_in(clone: Path) -> None:
    with (clone / "docker" / "sandbox" / "webui.py").open("a") as file:
        file.write(UNSEEN)


def write_more_in_a_step(clone: Path) -> None:
    replace(
        clone / "docker" / "Dockerfile",
        "mkdir -p /layer",
        f"touch /layer/{uuid4()} && mkdir -p /layer",
    )


def edit_a_tool(clone: Path) -> None:
    with (clone / "docker" / "tools" / "install" / "seal").open("a") as file:
        file.write(UNSEEN)


def edit_the_check(clone: Path) -> None:
    with (clone / "docker" / "tools" / "check-layers.py").open("a") as file:
        file.write(UNSEEN)


def edit_the_stand_ins_step(clone: Path) -> None:
    replace(
        clone / "docker" / "sandbox" / "Dockerfile",
        "python3 -m compileall",
        f"echo {uuid4()} && python3 -m compileall",
    )


def edit_what_makes_the_stand_ins_model(clone: Path) -> None:
    with (clone / "docker" / "sandbox" / "tiny_model.py").open("a") as file:
        file.write(UNSEEN)


def make_the_handler_a_program(clone: Path) -> None:
    (clone / "docker" / "worker" / "handler.py").chmod(0o755)


def take_a_system_package_away(clone: Path) -> None:
    path = clone / "workspace.toml"
    replace(path, '"fonts-dejavu-core", ', "")
    done = command("lock", root=clone, environment=SHARED)
    assert done.returncode == 0, done.stderr


def edit_a_step(clone: Path) -> None:
    replace(
        clone / "docker" / "Dockerfile", "mkdir -p /layer", f"echo {uuid4()} && mkdir -p /layer"
    )


@pytest.mark.parametrize(
    ("change", "new", "again"),
    [
        (edit_the_handler, {"app"}, set()),
        (add_a_launch_option, {"app"}, set()),
        (take_an_older_package, {"py-worker"}, set()),
        (edit_the_stand_in, {"source"}, set()),
        (take_a_system_package_away, {"system"}, set()),
        (make_the_handler_a_program, {"app"}, set()),
        (edit_a_step, set(), {"layout"}),
        (edit_the_check, set(), set()),
        (edit_the_stand_ins_step, set(), {"source"}),
        (edit_what_makes_the_stand_ins_model, set(), set()),
        (edit_a_tool, set(), {"system", "layout", "py-worker", "tokenizer", "source"}),
    ],
)
def test_what_is_foretold_is_what_happens(
    clone: Path, change: Change, new: set[str], again: set[str]
) -> None:
    assert build(clone).returncode == 0
    before = BuildRecord.model_validate_json(LATEST.read_text())
    change(clone)
    told = build(clone, "--impact")
    assert told.returncode == 0, told.stderr
    assert BuildRecord.model_validate_json(LATEST.read_text()) == before
    rows = dict(re.findall(r"^(\S+)\s+(cached|runs again|new)\b", told.stdout, re.MULTILINE))
    assert rows.keys() == {layer.name for layer in before.layers}
    assert {name for name, word in rows.items() if word == "new"} == new
    assert {name for name, word in rows.items() if word == "runs again"} == again

    done = build(clone)
    assert done.returncode == 0, done.stderr + done.stdout
    after = BuildRecord.model_validate_json(LATEST.read_text())
    pairs = list(zip(before.layers, after.layers, strict=True))
    assert {now.name for was, now in pairs if was.digest != now.digest} == new
    assert again <= {now.name for _, now in pairs if not now.cached} <= new | again

    (megabytes,) = re.findall(r"about ([\d.,]+) MB", told.stdout)
    foretold = float(megabytes.replace(",", "")) * 1e6
    happened = sum(now.size or 0 for _, now in pairs if now.name in new)
    # What comes or goes is counted as it is downloaded, and stored in another way; what is printed
    # has hundredths of a megabyte.
    assert foretold == pytest.approx(happened, rel=0.25, abs=5_000)


def test_a_step_that_writes_more_is_foretold_as_one_that_may(clone: Path) -> None:
    assert build(clone).returncode == 0
    before = BuildRecord.model_validate_json(LATEST.read_text())
    write_more_in_a_step(clone)
    told = build(clone, "--impact")
    assert "layout: made again from the same packages and files." in told.stdout
    assert build(clone).returncode == 0
    after = BuildRecord.model_validate_json(LATEST.read_text())
    pairs = zip(before.layers, after.layers, strict=True)
    assert {now.name for was, now in pairs if was.digest != now.digest} == {"layout"}


def test_layers_that_write_the_same_file_are_refused_by_path(clone: Path, tmp_path: Path) -> None:
    contexts = []
    for name in ("py-torch", "py-large"):
        file = tmp_path / name / "layer" / "opt" / "both"
        file.parent.mkdir(parents=True)
        file.write_text(name)
        contexts.append(f"--context={name}={tmp_path / name}")
    rest = small(tmp_path, ("py-cuda", "py-attention", "py-moving", "py-webui"))
    done = command("build", *contexts, *rest, root=clone, environment=SHARED)
    assert done.returncode == 3
    assert "/opt/both: py-large and py-torch hold different files." in done.stderr
