"""The report's page in Chromium, as a person opens it: from a file, without a network."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, ViewportSize, expect

from scripts.bench import schema
from scripts.report.page import page
from scripts.report.render import html
from scripts.report.sources import read
from tests.support import browser
from tests.support.commands import command
from tests.support.reports import HOSTILE, TOKENS, hostile_run, site

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=900)


@dataclass
class Opened:
    """A page that is drawn, and what it did meanwhile."""

    page: Page
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def chart(self, section: str) -> Locator:
        return self.page.locator(f"#{section} figure").first


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.browser() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "index.html"
    path.write_text(site(folder / "from"), encoding="utf-8")
    return path.as_uri()


def opened(chromium: Browser, address: str, *, dark: bool = False, phone: bool = False) -> Opened:
    context = chromium.new_context(
        viewport=PHONE if phone else DESKTOP,
        color_scheme="dark" if dark else "light",
        has_touch=phone,
        is_mobile=phone,
        offline=True,
    )
    made = Opened(context.new_page(), context)
    made.page.on("console", lambda message: made.complaints.append(message.text))
    made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
    made.page.on("request", lambda request: made.requests.append(request.url))
    made.page.goto(address)
    made.page.wait_for_selector("html[data-drawn]")
    return made


@pytest.fixture
def desktop(chromium: Browser, address: str) -> Iterator[Opened]:
    made = opened(chromium, address)
    yield made
    made.context.close()


def test_every_chart_is_drawn_without_a_complaint_or_a_request(
    desktop: Opened, address: str
) -> None:
    figures = desktop.page.locator("figure")
    assert figures.count() == 8
    for chart in figures.all():
        expect(chart.locator("svg.main-svg").first).to_be_visible()
    assert desktop.complaints == []
    assert desktop.requests == [address]


def test_hovering_a_bar_shows_its_value_and_interval(desktop: Opened) -> None:
    chart = desktop.chart("comparison")
    # By force, because plotly lays over its bars what listens to the mouse.
    chart.locator(".barlayer .point").first.hover(force=True)
    tooltip = chart.locator(".hoverlayer .hovertext")
    expect(tooltip).to_be_visible()
    expect(tooltip).to_contain_text(re.compile(r"sdp.*ms \(.* to .*\)"))


def test_choosing_another_shape_draws_it(desktop: Opened) -> None:
    chart = desktop.chart("comparison")
    axis = chart.locator(".xaxislayer-above")
    before = axis.text_content() or ""
    chart.locator("select").select_option(label=f"sd15-512-self-{TOKENS[0]} float16 (local)")
    expect(axis).not_to_have_text(before)
    assert desktop.complaints == []


def test_a_click_on_a_name_hides_its_line(desktop: Opened) -> None:
    chart = desktop.chart("tokens")
    expect(chart.locator(".scatterlayer .trace")).to_have_count(3)
    chart.locator(".legendtoggle").first.click()
    expect(chart.locator(".scatterlayer .trace")).to_have_count(2)


def test_a_table_opens_and_holds_what_the_chart_shows(desktop: Opened) -> None:
    chart = desktop.chart("comparison")
    table = chart.get_by_role("table")
    expect(table).to_be_hidden()
    chart.locator("summary").click()
    expect(table).to_be_visible()
    row = table.get_by_role("row").filter(has_text="xformers").first
    expect(row).to_contain_text("SLOWER")


def test_the_data_behind_a_chart_can_be_saved(desktop: Opened, tmp_path: Path) -> None:
    with desktop.page.expect_download() as saving:
        desktop.chart("comparison").get_by_role("link", name="JSON").click()
    assert saving.value.suggested_filename == "comparison-1.json"
    path = tmp_path / "data.json"
    saving.value.save_as(path)
    rows = json.loads(path.read_text())["rows"]
    assert {row["backend"] for row in rows} == {"sdp", "sdp@again", "xformers", "Doggettx", "V1"}


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scroll(chromium: Browser, address: str, dark: bool) -> None:
    made = opened(chromium, address, dark=dark, phone=True)
    for summary in made.page.locator("summary").all():
        summary.tap()
    width = made.page.evaluate("document.documentElement.scrollWidth")
    assert width == PHONE["width"]
    for chart in made.page.locator(".plot").all():
        box = chart.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
    assert made.complaints == []
    made.context.close()


def test_charts_follow_the_colour_scheme_when_it_changes(desktop: Opened) -> None:
    page, chart = desktop.page, desktop.chart("comparison")

    def colours() -> tuple[str, str]:
        ink = chart.locator(".ytick text").first.evaluate("each => getComputedStyle(each).fill")
        return page.evaluate("getComputedStyle(document.body).backgroundColor"), ink

    light = colours()
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "before => getComputedStyle(document.querySelector('#comparison .ytick text')).fill"
        " !== before",
        arg=light[1],
    )
    dark = colours()
    assert brightness(light[0]) > 200 > 60 > brightness(dark[0])
    assert brightness(light[1]) < 60 < 200 < brightness(dark[1])


def brightness(colour: str) -> float:
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    return (red + green + blue) / 3


def test_what_a_hostile_result_holds_is_shown_and_does_nothing(
    chromium: Browser, tmp_path: Path
) -> None:
    run = hostile_run()
    schema.save(run, tmp_path / "bench" / "run.json")
    path = tmp_path / "index.html"
    path.write_text(html(page(read(tmp_path / "none", tmp_path))), encoding="utf-8")
    made = opened(chromium, path.as_uri())
    chart = made.chart("comparison")
    expect(chart.locator(".note")).to_contain_text(HOSTILE)
    chart.locator(".barlayer .point").first.hover(force=True)
    expect(chart.locator(".hoverlayer .hovertext")).to_contain_text("hacked=1")
    assert made.page.evaluate("typeof hacked") == "undefined"
    assert made.page.locator("img").count() == 0
    # The policy would complain of a script that it stopped: there was none to stop.
    assert made.complaints == []
    made.context.close()


def test_the_page_of_this_clone_is_made_by_the_command_and_drawn(
    chromium: Browser, tmp_path: Path
) -> None:
    done = command("report", f"--output={tmp_path}")
    assert done.returncode == 0, done.stderr
    made = opened(chromium, (tmp_path / "index.html").as_uri())
    assert made.page.locator("figure").count() >= 3
    assert made.complaints == []
    made.context.close()
