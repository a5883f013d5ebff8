"""The result file: it comes back as it was written, and nothing else is taken for one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import schema
from scripts.bench.tracking.store import BENCHMARKS
from scripts.workspace.errors import BadInput
from tests.support.results import case_of, run_of, runs

A, B = case_of("attn/x/a", 100, 200), case_of("attn/x/b", 110, 180)
SLOWER = schema.Comparison(
    a=A.id, b=B.id, ratio=1.0, ci=(0.9, 1.1), p=0.5, q=0.5, verdict="INCONCLUSIVE"
)
RUN = run_of((A, B, case_of("attn/x/c")), (SLOWER,))
WHOLE = schema.dumps(RUN)


def sealed(**changes: Any) -> str:
    """A whole file whose content is not what the bench wrote."""
    return schema.seal({**json.loads(WHOLE), **changes})


@given(runs())
def test_what_is_written_comes_back(run: schema.Run) -> None:
    text = schema.dumps(run)
    assert schema.loads(text, "run.json") == run
    assert schema.dumps(schema.loads(text, "run.json")) == text


def test_the_file_has_the_fields_of_schema_v1_and_ends_with_its_digest() -> None:
    content = json.loads(WHOLE)
    assert content["schema"] == 1
    assert list(content) == [
        *("schema", "run_id", "utc", "git", "lock_sha256", "image_digest", "argv", "seed"),
        *(
            "host",
            "gpu",
            "sw",
            "flags",
            "cases",
            "compare",
            "ran_in",
            "ceilings",
            "notes",
            "sha256",
        ),
    ]


def test_a_result_of_before_convolutions_told_their_tf32_is_read() -> None:
    flags = {key: value for key, value in json.loads(WHOLE)["flags"].items() if key != "cudnn_tf32"}
    assert schema.loads(sealed(flags=flags), "run.json").flags.cudnn_tf32 is None


def test_a_run_in_the_host_has_neither_lock_nor_image() -> None:
    run = run_of().model_copy(update={"ran_in": "host", "lock_sha256": None, "image_digest": None})
    assert schema.loads(schema.dumps(run), "run.json") == run


def test_a_file_is_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "bench" / "run.json"
    schema.save(RUN, path)
    assert schema.load(path) == RUN
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]


@given(st.integers(0, len(WHOLE) - 3))
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(BadInput, match="no whole JSON file"):
        schema.loads(WHOLE[:length], "run.json")


def test_json_without_end_is_refused() -> None:
    with pytest.raises(BadInput, match="no whole JSON file"):
        schema.loads("[" * 100_000, "run.json")


@pytest.mark.parametrize("found", [0, 2, "1", None])
def test_another_schema_is_refused_by_its_number(found: object) -> None:
    with pytest.raises(BadInput, match=rf"schema {found!r}; this program reads schema 1"):
        schema.loads(sealed(schema=found), "run.json")


@pytest.mark.parametrize("text", ["[]", "3", "{}"])
def test_json_that_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="schema None"):
        schema.loads(text, "run.json")


Way = tuple[str | int, ...]


def leaves(value: Any, *path: str | int) -> list[Way]:
    """The way to every single value of a JSON document."""
    if not isinstance(value, dict | list):
        return [path]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [way for key, each in inner for way in leaves(each, *path, key)]


@pytest.mark.parametrize("way", leaves(json.loads(WHOLE)), ids=lambda way: ".".join(map(str, way)))
def test_a_file_in_which_any_value_was_changed_is_refused(way: Way) -> None:
    content = json.loads(WHOLE)
    at = content
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = "changed"
    with pytest.raises(BadInput, match=r"was changed after|is of schema 'changed'"):
        schema.loads(json.dumps(content), "run.json")


def test_a_file_without_digest_is_refused() -> None:
    content = json.loads(WHOLE)
    del content["sha256"]
    with pytest.raises(BadInput, match="has no sha256"):
        schema.loads(json.dumps(content), "run.json")


def test_a_file_that_was_only_laid_out_anew_is_the_same_result() -> None:
    content = json.loads(WHOLE)
    again = json.dumps(dict(reversed(content.items())), indent=8)
    assert schema.loads(again, "run.json") == RUN


def test_a_wrong_or_unknown_field_is_named() -> None:
    host = {**json.loads(WHOLE)["host"], "cores": "many"}
    with pytest.raises(BadInput, match=r"host\.cores"):
        schema.loads(sealed(host=host), "run.json")
    del host["cores"]
    with pytest.raises(BadInput, match="2 such problems"):
        schema.loads(sealed(host=host, surprise=1), "run.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"utc": "yesterday"}, "not a time like"),
        ({"cases": (A, B, A)}, "2 cases have the id 'attn/x/a'"),
        ({"cases": (A, B, case_of(""))}, "has an id that is empty"),
        ({"cases": (A, B, case_of("a\nb"))}, "not printable"),
        ({"cases": (A, B, case_of("é" * 513))}, "longer than 1024 bytes"),
        ({"cases": (A, B, case_of("c", status="ok"))}, "is ok and has no sample"),
        ({"cases": (A, B, case_of("c", 1, order=()))}, "has 1 samples and 0 places"),
        ({"cases": (A, B, case_of("c", 1, host_ns=(1, 2)))}, "has 1 samples and 2 host_ns"),
        ({"cases": (A, B, case_of("c", 1, cycles=(1, 2)))}, "has 1 samples and 2 cycles"),
        ({"cases": (A, B, case_of("c", 1, issue_bound=2))}, "1 samples, 2 of them issue-bound"),
        ({"cases": (A, B, case_of("c", 0))}, "has a sample that is no time"),
        ({"cases": (A, B, case_of("c", 2**63))}, "has a sample that is no time"),
        ({"cases": (A, B, case_of("c", 1, peak_bytes=-1))}, "has a peak of -1 bytes"),
        ({"cases": (A,)}, "is of a case that is not there: 'attn/x/b'"),
        ({"cases": (A, case_of(B.id))}, "is of a case without result"),
        ({"cases": (A, case_of(B.id, 120, 240))}, "a ratio of 1.0, which its samples do not give"),
        ({"cases": (A, case_of(B.id, 201))}, "a ratio of 1.0, which its samples do not give"),
        ({"compare": (SLOWER, SLOWER)}, "2 comparisons are of"),
        (
            {"compare": (SLOWER.model_copy(update={"ci": (1.01, 1.1)}),)},
            "a ratio of 1.0 outside its interval",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_file_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    text = schema.dumps(RUN.model_copy(update=changes))
    with pytest.raises(BadInput, match="contradicts itself") as refusal:
        schema.loads(text, "run.json")
    assert said in refusal.value.message


def test_cases_with_samples_of_different_rounds_may_be_compared() -> None:
    run = RUN.model_copy(update={"cases": (A, case_of(B.id, 150))})
    assert schema.loads(schema.dumps(run), "run.json") == run


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*/runs/*.json")), ids=lambda p: p.stem)
def test_the_committed_results_are_read(path: Path) -> None:
    """They are of before some of the fields, which are then not known."""
    assert schema.load(path).cases


def test_the_time_to_issue_is_told_where_it_is_not_the_samples() -> None:
    assert case_of("c", 5, 6, host_ns=(14, 16)).issue_ns == 15
    assert case_of("c", 5, 6, host_ns=(5, 6)).issue_ns is None
    assert case_of("c", 5, 6).issue_ns is None


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        schema.load(tmp_path / "none.json")
