"""What workspace.toml says is imported from an environment is what our code imports there."""

from pathlib import Path

import pytest

from scripts.bench.tracking import detection
from scripts.workspace.errors import BadInput
from scripts.workspace.model import load, parse
from scripts.workspace.paths import DOCKER, ROOT
from tests.support.imports import third_party

TEXT = (ROOT / "workspace.toml").read_text()


def listed(*environments: str) -> set[str]:
    modules = [name for each in environments for name in load().environments[each].imports]
    return {name.split(".")[0] for name in modules}


def python(folder: Path, *without: Path) -> list[Path]:
    files = [file for file in folder.rglob("*.py") if not any(map(file.is_relative_to, without))]
    assert files
    return files


def test_the_worker_lists_all_that_the_handler_imports() -> None:
    files = python(DOCKER / "worker")
    assert third_party(files, own=[file.stem for file in files]) == listed("worker")


def test_the_sandbox_lists_all_that_the_stand_in_imports() -> None:
    found = third_party(python(DOCKER / "sandbox"), own=["standin"])
    assert found == listed("sandbox")


def test_the_tools_list_all_that_the_commands_import() -> None:
    apart = (ROOT / "scripts/bench", ROOT / "scripts/report")
    files = [ROOT / "noxfile.py", *python(ROOT / "scripts", *apart)]
    found = third_party(files, own=["scripts"])
    assert found - listed("dev") == listed("tools")


def test_the_bench_lists_what_it_imports_beyond_the_tools() -> None:
    files = python(ROOT / "scripts/bench", ROOT / "scripts/bench/probe", detection.PROGRAM)
    assert third_party(files, own=["scripts"]) - listed("tools") == listed("bench")


def test_the_report_lists_what_it_imports_beyond_the_tools() -> None:
    files = python(ROOT / "scripts/report")
    assert third_party(files, own=["scripts"]) - listed("tools") == listed("report")


def test_what_measures_inside_the_image_imports_nothing_that_is_not_tried_there() -> None:
    found = third_party(python(ROOT / "scripts/bench/probe"), own=["scripts"])
    assert found <= listed("webui", "probe")


def test_what_runs_beside_otava_imports_nothing_that_is_not_tried_there() -> None:
    assert third_party([detection.PROGRAM]) <= listed("history")


def test_the_tests_import_nothing_that_is_not_tried() -> None:
    own = ["scripts", "tests", "standin", *(file.stem for file in python(DOCKER))]
    assert third_party(python(ROOT / "tests"), own) <= listed("dev", "bench", "tools")


def test_code_that_is_imported_by_name_counts(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(
        "import os\nfrom . import y\nfrom a.b import c\nimport d.e as f\n"
        "def g():\n    import h\n    importlib.import_module('i.j')\n"
    )
    assert third_party([tmp_path / "x.py"]) == {"a", "d", "h", "i"}


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ('imports = ["httpx", "ru-npod"]', "environments.worker.imports.1: String should match"),
        ("imports = []", "environments.worker.imports: Tuple should have at least 1 item"),
        ("", "environments.worker.imports is missing"),
    ],
)
def test_an_environment_that_imports_nothing_or_no_module_is_refused(new: str, said: str) -> None:
    old = 'imports = ["httpx", "pydantic", "runpod"]'
    assert old in TEXT
    with pytest.raises(BadInput) as failure:
        parse(TEXT.replace(old, new), "workspace.toml")
    assert said in failure.value.message
