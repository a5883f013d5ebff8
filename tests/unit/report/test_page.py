"""The page's HTML: whole by itself, the same each time, and deaf to what results would inject."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.bench.exports.figures import device
from scripts.bench.schema import Run
from scripts.report.page import page
from scripts.report.render import embedded, html
from scripts.report.sources import Sources, Taken, read
from tests.support import results
from tests.support.reports import HOSTILE, folders, hostile_run, site
from tests.support.results import case_of, run_of
from tests.unit.report.test_sources import EMPTY


class Elements(HTMLParser):
    """The elements of a page, what its scripts hold, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._within = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._within = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts[-1] += data
        else:
            self.text += f"{data} "

    def count(self, tag: str) -> int:
        return sum(each == tag for each, _ in self.found)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    return site(tmp_path_factory.mktemp("site"))


def of_runs(*runs: Run) -> Sources:
    found = {device(run): (Taken(run, True),) for run in runs}
    return Sources(**{**vars(EMPTY), "runs": found})


def test_the_same_inputs_give_the_same_bytes_wherever_they_lie(tmp_path: Path, made: str) -> None:
    again = site(tmp_path / "elsewhere")
    assert again == made
    assert str(tmp_path) not in again


def test_nothing_is_fetched(made: str) -> None:
    for tag, attributes in Elements(made).found:
        for name in ("src", "srcset", "action", "poster", "data"):
            assert name not in attributes, (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#")
    style = re.search("<style>(.*?)</style>", made, re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_the_policy_names_the_two_scripts_and_allows_no_other(made: str) -> None:
    elements = Elements(made)
    policy = next(a["content"] for t, a in elements.found if t == "meta" and "http-equiv" in a)
    assert policy
    assert "default-src 'none'" in policy
    kinds = [a.get("type") for t, a in elements.found if t == "script"]
    running = [s for s, kind in zip(elements.scripts, kinds, strict=True) if kind is None]
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in running]
    assert len(hashes) == 2
    allowed = next(each for each in policy.split("; ") if each.startswith("script-src"))
    assert allowed.split()[1:] == [f"'sha256-{each}'" for each in hashes]


def test_every_chart_has_its_table_and_the_data_behind_it(tmp_path: Path, made: str) -> None:
    found = page(read(*folders(tmp_path)))
    elements = Elements(made)
    charts = [chart for section in found.sections for chart in section.charts]
    assert elements.count("figure") == len(charts)
    # One more is of the runs.
    assert elements.count("table") == elements.count("caption") == len(charts) + 1
    blocks = [
        (a["class"], json.loads(text))
        for (_, a), text in zip(
            [each for each in elements.found if each[0] == "script"], elements.scripts, strict=True
        )
        if "class" in a
    ]
    behind = [content for kind, content in blocks if kind == "behind"]
    for chart, data in zip(charts, behind, strict=True):
        assert data["title"] == chart.title
        assert data["rows"] == json.loads(json.dumps(chart.table.records()))
    views = [content for kind, content in blocks if kind == "figures"]
    assert [len(each) for each in views] == [len(chart.views) for chart in charts]


def test_the_head_says_what_was_found(made: str) -> None:
    text = " ".join(Elements(made).text.split())
    assert "7 runs; against the reference: 8 SLOWER NVIDIA Madeup 9000" in text
    assert "to pull of sandbox, 3 layers 756 MB" in text


def test_a_page_of_nothing_says_how_to_make_something() -> None:
    text = html(page(EMPTY))
    assert Elements(text).count("figure") == 0
    assert "no result is there yet. To make it: <code>./nox -s build bench</code>" in text
    assert text.count('class="missing"') == len(page(EMPTY).sections) + 2


def test_problems_are_on_the_page() -> None:
    text = html(page(Sources(**{**vars(EMPTY), "problems": (f"a.json: {HOSTILE}",)})))
    assert "a.json: </script>" in Elements(text).text
    assert Elements(text).count("img") == 0


def test_a_hostile_result_is_text_and_nothing_else() -> None:
    text = html(page(of_runs(hostile_run())))
    elements = Elements(text)
    assert elements.count("img") == 0
    kinds = [attributes.get("type") for tag, attributes in elements.found if tag == "script"]
    assert kinds.count(None) == 2
    assert HOSTILE in elements.text
    assert all(name[:2] != "on" for _, attributes in elements.found for name in attributes)


def test_plotly_gets_no_markup_from_a_result() -> None:
    """It takes some tags and links in texts for markup, wherever they are from."""
    case = case_of('attn/s/<a href="https://example.org">sdp', 10**6, resolved_kernel="<b>k</b>")
    [chart] = page(of_runs(run_of((case,)))).sections[0].charts
    figure = json.dumps(chart.views[0].figure)
    assert "<a" not in figure
    assert "<b>k" not in figure
    assert "&lt;b&gt;k" in figure


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_embedded_json_cannot_leave_its_element_and_is_read_back(value: object) -> None:
    text = embedded(value)
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


@settings(max_examples=25)
@given(results.runs())
def test_any_run_makes_a_page(run: Run) -> None:
    text = html(page(of_runs(run)))
    elements = Elements(text)
    assert elements.count("script") == 2 + 2 * elements.count("figure")
    shown = {case.suite for case in run.cases}
    compared = page(of_runs(run)).sections[0]
    assert len(compared.charts) == len(shown)
