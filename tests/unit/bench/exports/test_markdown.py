"""Markdown: a CommonMark parser with GitHub's tables finds every cell as it was meant."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from markdown_it import MarkdownIt
from markdown_it.token import Token

from scripts.bench import stats
from scripts.bench.exports import markdown
from scripts.bench.exports.figures import one_line
from scripts.bench.schema import Comparison, Run
from tests.support.results import case_of, run_of, runs

PARSER = MarkdownIt("commonmark").enable("table")
# One line of text: no markup, code, link or HTML came out of what a run holds.
PLAIN = {"text", "text_special"}


def plain(inline: Token) -> str:
    children = inline.children or []
    assert {child.type for child in children} <= PLAIN, inline.content
    return "".join(child.content for child in children)


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, heads left out."""
    tokens = PARSER.parse(text)
    found: list[list[str]] = []
    for before, token in pairwise(tokens):
        if before.type == "tr_open" and token.type == "td_open":
            found.append([])
        if before.type == "td_open":
            found[-1].append(plain(token))
    return found


def texts(text: str, opened: str) -> Iterator[str]:
    tokens = PARSER.parse(text)
    for before, token in pairwise(tokens):
        if before.type == opened:
            yield plain(token)


@given(runs())
def test_any_run_has_a_row_for_each_case_with_its_figures(run: Run) -> None:
    found = rows(markdown.text(run))
    assert len(found) == len(run.cases)
    for case, cells in zip(run.cases, found, strict=True):
        assert len(cells) == len(markdown.HEAD)
        assert cells[0] == one_line(case.id.rsplit("/", 1)[-1]) or cells[0] == "-"
        if case.status == "ok":
            time = stats.median(case.samples_ns)
            assert cells[2].split()[0] == f"{time.value / 1e6:.4g}"
            assert cells[6] == str(len(case.samples_ns))
        else:
            assert cells[1:] == ["-", case.status, "-", "-", "-", "-"]


@given(runs())
def test_each_reason_is_told_in_full(run: Run) -> None:
    told = list(texts(markdown.text(run), "paragraph_open"))
    for case in run.cases:
        if case.status != "ok":
            assert any(
                line.endswith(one_line(f": {case.reason or 'no reason given'}")) for line in told
            )


def test_what_is_markdown_or_html_elsewhere_is_text_here() -> None:
    kernel = "a|b _c_ d_e_f __g__ h__i _j_k `d` <b>e</b> [f](g) ![h](i) ~~j~~ &amp; \\|"
    text = markdown.text(run_of((case_of("attn/x/sdp", 5, resolved_kernel=kernel),)))
    assert rows(text)[0][1] == kernel


def test_the_time_to_issue_has_a_column_where_it_is_not_the_time() -> None:
    on_gpu = case_of("attn/x/sdp", 5_000, 5_000, host_ns=(15_000, 15_200))
    text = markdown.text(run_of((on_gpu, case_of("attn/x/V1"))))
    assert f" samples | {markdown.ISSUE} |" in text
    assert [row[7:] for row in rows(text)] == [["15.1"], ["-"]]


def test_verdicts_stand_beside_their_ratios() -> None:
    a, b = case_of("attn/x/sdp", 10, 10), case_of("attn/x/V1", 20, 20)
    found = Comparison(a=a.id, b=b.id, ratio=2, ci=(2, 2), p=0.01, q=0.02, verdict="SLOWER")
    cells = rows(markdown.text(run_of((a, b), (found,))))
    assert cells[0][4:6] == ["-", "reference"]
    assert cells[1][4:6] == ["2 (2 to 2)", "SLOWER"]


def test_a_shape_is_a_heading_and_says_what_was_scaled() -> None:
    shape = {"name": "sd15-512", "scaled": "b 2 -> 1"}
    text = markdown.text(run_of((case_of("attn/x/sdp", 5, shape=shape),)))
    assert list(texts(text, "heading_open")) == ["attn sd15-512 (scaled: b 2 -> 1)"]
