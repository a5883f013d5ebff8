"""--export and --of: which files come, what is refused, and that nothing is measured for them."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from scripts.bench import __main__ as bench
from scripts.bench import schema
from scripts.bench.exports import formats
from scripts.bench.options import parser
from scripts.bench.schema import Run
from scripts.workspace.errors import BadInput
from tests.support.results import case_of, run_of, runs

RUN = run_of((case_of("attn/x/sdp", 100, 200), case_of("attn/x/xformers")))


@pytest.fixture(autouse=True)
def nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> None:
        raise AssertionError("the image or the engine was asked for")

    monkeypatch.setattr(bench, "built", asked)
    monkeypatch.setattr(bench, "ensure", asked)


@pytest.fixture
def stored(tmp_path: Path) -> str:
    path = tmp_path / "run.json"
    schema.save(RUN, path)
    return str(path)


def run(*arguments: str) -> int:
    return bench.main(parser().parse_args(arguments))


def test_a_stored_run_goes_into_every_format_that_is_named(stored: str, tmp_path: Path) -> None:
    files = {name: tmp_path / "out" / name for name in formats.FORMATS}
    exports = [f"--export={name}={file}" for name, file in files.items()]
    assert run("--of", stored, *exports) == 0
    for name, file in files.items():
        assert file.read_text() == formats.render(name, [RUN])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(files)


def test_a_dash_is_stdout_which_nothing_else_is_written_to(
    stored: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--of", stored, "--export", "bencher=-") == 0
    assert capsys.readouterr().out == formats.render("bencher", [RUN])


def test_a_run_that_was_just_measured_is_exported_and_its_table_leaves_stdout_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "BENCH", tmp_path)
    file = tmp_path / "run.prom"
    bench._keep(RUN, None, formats.wanted(["markdown=-", f"openmetrics={file}"]))
    printed = capsys.readouterr()
    assert printed.out == formats.render("markdown", [RUN])
    assert "median ms" in printed.err
    assert file.read_text() == formats.render("openmetrics", [RUN])
    assert schema.load(tmp_path / f"{RUN.run_id}.json") == RUN


@given(runs())
@settings(max_examples=30)
def test_any_run_is_exported_and_twice_to_the_same_bytes(run: Run) -> None:
    again = schema.loads(schema.dumps(run), "run.json")
    for name in formats.FORMATS:
        assert formats.render(name, [run]).encode() == formats.render(name, [again]).encode()


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_case_that_is_not_ok_gives_no_figure(name: str) -> None:
    """Were its samples used, they would be the largest numbers there are."""
    samples = (987_654_321_987, 987_654_321_987)
    for status in ("unavailable", "unsupported", "oom", "discarded"):
        shape = {"name": "p", "width": 512, "height": 512, "steps": 20, "batch": 1}
        case = case_of(
            "image/x/V1", *samples, status=status, suite="image", shape=shape, peak_bytes=98765
        )
        assert "9876" not in formats.render(name, [run_of((case,))])


def test_an_unknown_format_is_answered_with_the_list_and_the_nearest() -> None:
    with pytest.raises(BadInput) as refusal:
        run("--export", "benchr=x")
    assert refusal.value.code == 2
    assert refusal.value.message == (
        "there is no export format 'benchr'; there are bencher, github-bigger, github-smaller, "
        "markdown, openmetrics, system-info, otava."
    )
    assert refusal.value.hint == "Did you mean bencher?"


def test_the_help_names_every_format() -> None:
    text = " ".join(parser().format_help().split())
    assert all(name in text for name in formats.FORMATS)


@pytest.mark.parametrize("argument", ["markdown", "markdown="])
def test_a_format_without_file_is_refused(argument: str) -> None:
    with pytest.raises(BadInput, match="names no file"):
        run("--export", argument)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        run("--export", f"markdown={tmp_path}")


@pytest.mark.parametrize("file", ["-", "x"])
def test_two_exports_do_not_go_to_one_place(file: str) -> None:
    with pytest.raises(BadInput, match="2 exports go to"):
        run("--export", f"markdown={file}", "--export", f"bencher={file}")


def test_of_without_anything_to_do_is_refused(stored: str) -> None:
    with pytest.raises(BadInput, match="--of says which runs, and not what to do"):
        run("--of", stored)


def test_of_measures_nothing_and_says_so(stored: str) -> None:
    with pytest.raises(BadInput, match="leave out --suite and --quick"):
        run("--of", stored, "--export", "bencher=-", "--suite", "attn", "--quick")


def test_export_of_suites_without_cases_is_refused() -> None:
    with pytest.raises(BadInput, match="--export is of the suites that measure"):
        run("--suite", "replay", "--export", "bencher=-")


def test_only_a_series_takes_several_runs(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        paths.append(str(tmp_path / name))
        schema.save(RUN.model_copy(update={"run_id": name}), tmp_path / name)
    with pytest.raises(BadInput, match="markdown takes one run, and 2 were given"):
        run("--of", *paths, "--export", "markdown=-")
    assert run("--of", *paths, "--export", f"otava={tmp_path / 'series.csv'}") == 0
    assert len((tmp_path / "series.csv").read_text().splitlines()) == 3


def test_where_one_format_is_refused_no_file_is_written(stored: str, tmp_path: Path) -> None:
    written, other = tmp_path / "series.csv", tmp_path / "other.json"
    schema.save(RUN.model_copy(update={"run_id": "other"}), other)
    exports = (f"--export=otava={written}", "--export=bencher=-")
    with pytest.raises(BadInput, match="takes one run"):
        run("--of", stored, str(other), *exports)
    assert not written.exists()


def test_a_result_that_was_changed_is_not_exported(stored: str, tmp_path: Path) -> None:
    path = Path(stored)
    path.write_text(path.read_text().replace("100", "101", 1))
    with pytest.raises(BadInput, match="was changed after it was written"):
        run("--of", stored, "--export", "bencher=-")
