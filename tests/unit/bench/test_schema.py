"""The result file: it comes back as it was written, and nothing else is taken for one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import schema
from scripts.workspace.errors import BadInput

NS = st.lists(st.integers(1, 10**12), max_size=5).map(tuple)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
CASES = st.builds(
    schema.Case,
    id=st.text(max_size=20),
    suite=st.sampled_from(["attn", "image"]),
    shape=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
    dtype=st.none() | st.just("float32"),
    requested=st.text(max_size=8),
    resolved_kernel=st.none() | st.text(max_size=8),
    status=st.sampled_from(["ok", "unavailable", "unsupported", "oom", "discarded"]),
    reason=st.none() | st.text(max_size=20),
    samples_ns=NS,
    order=NS,
    host_ns=NS,
    rel_l2=st.none() | FINITE,
    difference=st.none()
    | st.builds(
        schema.Difference, against=st.text(), max_abs=st.integers(0, 255), psnr_db=st.none()
    ),
)
COMPARISONS = st.builds(
    schema.Comparison,
    a=st.text(max_size=8),
    b=st.text(max_size=8),
    ratio=FINITE,
    ci=st.tuples(FINITE, FINITE),
    p=st.floats(0, 1),
    q=st.floats(0, 1),
    verdict=st.sampled_from(["FASTER", "SLOWER", "SAME", "INCONCLUSIVE"]),
)


def run_of(
    cases: tuple[schema.Case, ...] = (), compare: tuple[schema.Comparison, ...] = ()
) -> schema.Run:
    return schema.Run(
        run_id="20260102T030405Z-abcdef",
        utc="2026-01-02T03:04:05Z",
        git=schema.Git(sha=None, dirty=True),
        lock_sha256="0" * 64,
        image_digest="sha256:" + "0" * 64,
        argv=("--quick",),
        seed=1,
        host=schema.Host(cpu="a CPU", cores=2, governor=None, kernel="6.1", cgroup=None),
        gpu=None,
        sw=schema.Software(torch="2.1.2", cuda=None, cudnn=None, xformers=None, python="3.11.7"),
        flags=schema.Flags(tf32=False, cudnn_benchmark=False, deterministic=False, env={}),
        cases=cases,
        compare=compare,
    )


WHOLE = schema.dumps(run_of())


@given(st.lists(CASES, max_size=3), st.lists(COMPARISONS, max_size=3))
def test_what_is_written_comes_back(
    cases: list[schema.Case], compare: list[schema.Comparison]
) -> None:
    run = run_of(tuple(cases), tuple(compare))
    text = schema.dumps(run)
    assert schema.loads(text, "run.json") == run
    assert schema.dumps(schema.loads(text, "run.json")) == text


def test_the_file_has_the_fields_of_schema_v1() -> None:
    content = json.loads(WHOLE)
    assert content["schema"] == 1
    assert list(content) == [
        *("schema", "run_id", "utc", "git", "lock_sha256", "image_digest", "argv", "seed"),
        *("host", "gpu", "sw", "flags", "cases", "compare"),
        *("ran_in", "ceilings", "notes"),
    ]


def test_a_file_from_before_the_later_fields_is_read_as_it_was_meant() -> None:
    older = {k: v for k, v in json.loads(WHOLE).items() if k not in ("ran_in", "ceilings", "notes")}
    assert schema.loads(json.dumps(older), "run.json") == run_of()


def test_a_run_in_the_host_has_neither_lock_nor_image() -> None:
    run = run_of().model_copy(update={"ran_in": "host", "lock_sha256": None, "image_digest": None})
    assert schema.loads(schema.dumps(run), "run.json") == run


def test_a_file_is_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "bench" / "run.json"
    schema.save(run_of(), path)
    assert schema.load(path) == run_of()
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]


@given(st.integers(0, len(WHOLE) - 3))
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(BadInput, match="no whole JSON file"):
        schema.loads(WHOLE[:length], "run.json")


@pytest.mark.parametrize("found", [0, 2, "1", None])
def test_another_schema_is_refused_by_its_number(found: object) -> None:
    content = {**json.loads(WHOLE), "schema": found}
    with pytest.raises(BadInput, match=rf"schema {found!r}; this program reads schema 1"):
        schema.loads(json.dumps(content), "run.json")


@pytest.mark.parametrize("text", ["[]", "3", "{}"])
def test_json_that_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="schema None"):
        schema.loads(text, "run.json")


def test_a_wrong_or_unknown_field_is_named() -> None:
    content = json.loads(WHOLE)
    content["host"]["cores"] = "many"
    with pytest.raises(BadInput, match=r"host\.cores"):
        schema.loads(json.dumps(content), "run.json")
    del content["host"]["cores"]
    content["surprise"] = 1
    with pytest.raises(BadInput, match="2 such problems"):
        schema.loads(json.dumps(content), "run.json")


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        schema.load(tmp_path / "none.json")
