"""What each section says of results: values, marks and units."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench import schema, stats
from scripts.report import builds, comparison, history, rates, roofline, tokens
from scripts.report.content import Chart, Section
from scripts.report.figures import BACKENDS, styles, ticks
from scripts.report.page import page
from scripts.report.sources import Sources, Taken, read
from scripts.workspace.cli import options
from tests.support.reports import BUMPED_AT, CEILINGS, SLOWEST, TOKENS, folders, gpu_run
from tests.support.results import IN_HOST, case_of, run_of
from tests.unit.report.test_sources import EMPTY


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return read(*folders(tmp_path_factory.mktemp("report")))


def of_runs(*runs: schema.Run) -> Sources:
    return Sources(**{**vars(EMPTY), "runs": {"a device": tuple(Taken(run, True) for run in runs)}})


def only(section: Section) -> Chart:
    assert section.missing is None
    [chart] = section.charts
    return chart


def named(figure: Mapping[str, Any]) -> dict[str, Any]:
    return {trace["name"]: trace for trace in figure["data"]}


def test_plotly_takes_every_figure(sources: Sources) -> None:
    """Its own validators know each property and value."""
    charts = [chart for section in page(sources).sections for chart in section.charts]
    views = [view for chart in charts for view in chart.views]
    assert len(views) > 15
    for view in views:
        assert go.Figure(view.figure).data


def test_a_section_without_data_names_a_command_that_exists() -> None:
    for section in page(EMPTY).sections:
        assert not section.charts
        assert section.missing is not None
        words = section.missing.command.removeprefix("./nox -s ").split()
        sessions, _, arguments = " ".join(words).partition(" -- ")
        last = sessions.split()[-1]
        assert options(last).parse_args(arguments.split())


def test_bars_have_the_medians_and_intervals_of_the_bench(sources: Sources) -> None:
    chart = only(comparison.section(sources))
    # The longest call comes first.
    assert chart.views[0].label == f"sd15-512-self-{TOKENS[-1]} float16 (local)"
    newest = sources.runs["NVIDIA Madeup 9000"][-1].run
    case = next(case for case in newest.cases if case.id == SLOWEST)
    median = stats.median(case.samples_ns)
    bars = named(chart.views[0].figure)["SLOWER"]
    place = next(n for n, text in enumerate(bars["customdata"]) if text.startswith("xformers"))
    assert bars["x"][place] == pytest.approx(median.value / 1e6)
    error = bars["error_x"]
    assert bars["x"][place] + error["array"][place] == pytest.approx(median.high / 1e6)
    assert bars["x"][place] - error["arrayminus"][place] == pytest.approx(median.low / 1e6)
    found = next(each for each in newest.compare if each.b == SLOWEST)
    record = next(
        row
        for row in chart.table.records()
        if (row["shape"], row["backend"]) == (f"sd15-512-self-{TOKENS[-1]}", "xformers")
    )
    assert record["median_ms"] == bars["x"][place]
    assert (record["ratio"], record["verdict"]) == (found.ratio, "SLOWER")


def test_iterations_are_the_bench_s_own_not_times_the_batch() -> None:
    shape = {"name": "txt2img-512-20steps-x4", "steps": 20, "batch": 4}
    case = case_of("image/txt2img/sdp", *[10**9] * 2, suite="image", shape=shape)
    (row,) = only(comparison.section(of_runs(run_of((case,), argv=())))).table.records()
    assert row["per_s"] == 20


def test_times_to_issue_are_no_points_of_a_speed_of_the_gpu() -> None:
    """In half of the rounds or more; the other calls stay."""
    run = gpu_run(0)
    issued = {f"attn/sd15-512-self-{TOKENS[0]}/float16/{name}" for name in ("sdp", "xformers")}
    once = f"attn/sd15-512-self-{TOKENS[1]}/float16/sdp"
    cases = [
        case.model_copy(
            update={"issue_bound": len(case.samples_ns) // 2 if case.id in issued else 1}
        )
        if case.id in issued | {once}
        else case
        for case in run.cases
    ]
    sources = of_runs(run.model_copy(update={"cases": tuple(cases)}))
    for section in (roofline.section(sources), tokens.section(sources)):
        shown = {(row["tokens"], row["backend"]) for row in only(section).table.records()}
        first = {name for length, name in shown if length == TOKENS[0]}
        assert first == {"Doggettx"}
        assert (TOKENS[1], "sdp") in shown


def test_a_verdict_is_a_word_beside_its_bar(sources: Sources) -> None:
    labels = only(comparison.section(sources)).views[0].figure["layout"]["yaxis"]["ticktext"]
    assert labels[0] == "<b>sdp</b><br>reference"
    assert re.fullmatch(r"<b>xformers</b><br>1\.0\dx SLOWER", labels[2])
    assert labels[-1] == "<b>V1</b><br>unavailable"


def test_what_has_no_time_says_why(sources: Sources) -> None:
    chart = only(comparison.section(sources))
    assert "V1 unavailable: it refuses" in chart.views[0].note
    row = next(row for row in chart.table.records() if row["backend"] == "V1")
    assert (row["status"], row["reason"], row["median_ms"]) == ("unavailable", "it refuses", None)


def test_each_view_says_what_it_was_measured_on(sources: Sources) -> None:
    note = only(comparison.section(sources)).views[0].note
    for what in ("torch 2.8.0", "lock 222222222", "commit c0ffeec0f,", "seed 1", "20260107T03"):
        assert what in note


def test_a_commit_with_changes_is_called_so() -> None:
    note = only(comparison.section(of_runs(gpu_run(0)))).views[0].note
    assert "commit c0ffeec0f with changes" in note


def test_the_newest_run_that_has_a_shape_is_shown() -> None:
    first = run_of((case_of("attn/s/float16/sdp", 10**6, 10**6),), argv=())
    other = case_of("attn/t/float16/sdp", 10**6, 10**6, shape={"name": "another"})
    views = only(comparison.section(of_runs(first, run_of((other,), argv=())))).views
    assert {view.label for view in views} == {"sd15-512-self-4096 float16", "another float16"}


def after_a_record(*local: schema.Run) -> Sources:
    """A recorded run, and newer ones of this machine alone."""
    taken = (Taken(gpu_run(0), True), *(Taken(run, False) for run in local))
    return Sources(**{**vars(EMPTY), "runs": {"a device": taken}})


def first_of(section: Section) -> str:
    """The run that a chart shows before a reader chooses another."""
    return only(section).views[0].note.rpartition("Run ")[2].split()[0]


NEWER = gpu_run(5)
GLANCE = NEWER.model_copy(update={"argv": ("--quick",)})
LESS = NEWER.model_copy(
    update={"cases": tuple(case for case in NEWER.cases if "Doggettx" not in case.id)}
)


@pytest.mark.parametrize("section", [comparison.section, tokens.section])
@pytest.mark.parametrize(
    ("local", "speaks", "mark"),
    [
        (NEWER, NEWER, " (local)"),
        (GLANCE, gpu_run(0), " (a glance, local)"),
        (LESS, gpu_run(0), " (local)"),
    ],
)
def test_a_local_run_speaks_for_a_shape_if_it_is_no_glance_and_timed_as_much(
    section: Callable[[Sources], Section], local: schema.Run, speaks: schema.Run, mark: str
) -> None:
    made = section(after_a_record(local))
    assert first_of(made) == speaks.run_id
    marked = [view for view in only(made).views if view.label.endswith(mark)]
    assert marked
    assert all(local.run_id in view.note for view in marked)


def test_a_glance_is_shown_where_there_is_nothing_else_and_is_called_one() -> None:
    alone = Sources(**{**vars(EMPTY), "runs": {"a device": (Taken(GLANCE, False),)}})
    label = only(comparison.section(alone)).views[0].label
    assert label == "sd15-512-self-4096 float16 (a glance, local)"


def test_what_stands_aside_is_in_no_figure_of_the_head() -> None:
    recorded, both = (page(after_a_record(*local)).facts[0] for local in ((), (GLANCE,)))
    assert recorded.label.partition(";")[2] == both.label.partition(";")[2]


def test_a_run_in_the_host_does_not_stand_for_one_in_the_image() -> None:
    host = NEWER.model_copy(update=IN_HOST)
    for section in (comparison.section, tokens.section):
        labels = [view.label for view in only(section(of_runs(gpu_run(0), host))).views]
        assert any(label.endswith("(in the image)") for label in labels)
        assert any(label.endswith("(in the host)") for label in labels)


@pytest.mark.parametrize("argv", [(), ("--quick",)])
def test_a_local_run_of_another_place_stands_aside_of_a_record(argv: tuple[str, ...]) -> None:
    slow = gpu_run(5, slower=9.0).model_copy(update={**IN_HOST, "argv": argv})
    for section in (comparison.section, tokens.section):
        assert first_of(section(after_a_record(slow))) == gpu_run(0).run_id
    recorded, both = (page(after_a_record(*local)).facts[0] for local in ((), (slow,)))
    assert recorded.label.partition(";")[2] == both.label.partition(";")[2]


def test_a_glance_at_what_no_record_has_is_not_counted_where_there_are_records() -> None:
    case = case_of("attn/t/float16/sdp", 10**6, 10**6, shape={"name": "a small one"})
    other = case.model_copy(update={"id": "attn/t/float16/V1"})
    found = stats.compare(stats.pairs_of({c.id: (10**6, 2) for c in (case, other)}, case.id, None))
    glance = GLANCE.model_copy(update={"cases": (case, other), "compare": tuple(found)})
    chart = only(comparison.section(after_a_record(glance)))
    assert chart.views[-1].label == "a small one float16 (a glance, local)"
    recorded, both = (page(after_a_record(*local)).facts[0] for local in ((), (glance,)))
    assert recorded.label.partition(";")[2] == both.label.partition(";")[2]


def test_no_line_of_the_history_joins_image_and_host() -> None:
    host = [gpu_run(place).model_copy(update=IN_HOST) for place in (1, 3, 5)]
    chart = only(history.section(of_runs(gpu_run(0), gpu_run(2), *host)))
    assert len(chart.views) == 2 * len(TOKENS)
    assert "in the image" in chart.views[0].label, "what was measured first"
    for view in chart.views:
        place, count = ("in the image", 2) if "image" in view.label else ("in the host", 3)
        assert view.label.endswith(f"({place})")
        assert all(len(trace["x"]) == count for trace in view.figure["data"])
    assert {row["ran_in"] for row in chart.table.records()} == {"image", "host"}


def test_a_single_sample_has_a_bar_and_no_interval() -> None:
    chart = only(comparison.section(of_runs(run_of((case_of("attn/s/float16/sdp", 10**6),)))))
    [bars] = chart.views[0].figure["data"]
    assert bars["x"] == [1.0]
    assert bars["error_x"]["array"] == bars["error_x"]["arrayminus"] == [0]
    assert chart.table.records()[0]["low_ms"] is None


def test_speed_is_operations_over_the_median_and_leaves_out_repeats(sources: Sources) -> None:
    chart = only(tokens.section(sources))
    [view] = chart.views
    assert view.label == "sd15 self-attention, float16 (local)"
    assert set(named(view.figure)) == {"sdp", "xformers", "Doggettx"}
    sdp = named(view.figure)["sdp"]
    assert sdp["x"] == list(TOKENS)
    run = sources.runs["NVIDIA Madeup 9000"][-1].run
    case = next(case for case in run.cases if case.id.endswith("4096/float16/sdp"))
    assert case.flops is not None
    seconds = stats.median(case.samples_ns).value / 1e9
    assert sdp["y"][-1] == pytest.approx(case.flops / seconds / 1e12)


def test_one_length_alone_is_no_line() -> None:
    run = gpu_run(0)
    short = run.model_copy(update={"cases": run.cases[:4], "compare": ()})
    assert tokens.section(of_runs(short)).missing


def test_the_roof_bends_where_both_ceilings_meet(sources: Sources) -> None:
    view = only(roofline.section(sources)).views[0]
    roof, exps = (named(view.figure)[name] for name in ("ceiling", "exp, d 40"))
    low, ridge, _ = roof["x"]
    assert ridge == pytest.approx(CEILINGS.flops / CEILINGS.bytes)
    assert roof["y"] == pytest.approx([low * CEILINGS.bytes / 1e12, 900, 900])
    # Four operations of a head_dim of 40 for each exponential.
    assert exps["y"] == pytest.approx([4 * 40 * 3.9] * 2)
    assert "900 TFLOP/s, 3000 GB/s, exponentials 3.9 T/s (measured: matmul" in view.note


def test_the_newest_rooflines_are_drawn(sources: Sources) -> None:
    views = only(roofline.section(sources)).views
    days = [f"2026-01-0{day}" for day in (6, 5, 4, 7)]
    assert [view.label[:10] for view in views] == days, "recorded ones first"
    assert views[-1].label.endswith("(local)")


def test_ceilings_that_are_none_draw_no_roof() -> None:
    broken = CEILINGS.model_copy(update={"bytes": 0.0})
    run = gpu_run(0).model_copy(update={"ceilings": (broken,)})
    assert roofline.section(of_runs(run)).missing


def test_history_marks_the_bump_between_two_runs(sources: Sources) -> None:
    view = only(history.section(sources)).views[0]
    [line] = view.figure["layout"]["shapes"]
    assert line["x0"] == line["x1"] == BUMPED_AT - 0.5
    assert "2026-01-04: torch 2.1.2 -> 2.8.0." in view.note


def test_history_rings_the_change_point_and_opens_what_is_not_recorded(sources: Sources) -> None:
    chart = only(history.section(sources))
    assert chart.views[0].label == f"attn sd15-512-self-{TOKENS[-1]} float16"
    marker = named(chart.views[0].figure)["xformers"]["marker"]
    assert marker["line"]["width"] == [3 if place == BUMPED_AT else 1 for place in range(7)]
    assert [symbol.endswith("-open") for symbol in marker["symbol"]] == [False] * 6 + [True]
    notes = [each["text"] for each in chart.views[0].figure["layout"]["annotations"]]
    assert notes == ["bump", "1.20x"]
    [row] = [row for row in chart.table.records() if row["ratio"]]
    assert (row["case"], row["because"]) == (SLOWEST, "torch 2.1.2 -> 2.8.0")


def test_a_lock_that_moved_what_the_bench_does_not_tell_is_a_bump_too() -> None:
    before = run_of(lock_sha256="1" * 64)
    assert history.bump(before, run_of(lock_sha256="2" * 64)) == "another lock"
    assert history.bump(before, before) == ""


def test_devices_are_never_in_one_chart() -> None:
    cpu = run_of((case_of("attn/s/float16/sdp", 10**6, 10**6),))
    both = Sources(
        **{
            **vars(EMPTY),
            "runs": {"a GPU": (Taken(gpu_run(0), True),), "a CPU": (Taken(cpu, True),)},
        }
    )
    titles = [chart.title for chart in comparison.section(both).charts]
    assert titles == ["Attention calls: a GPU", "Attention calls: a CPU"]
    assert history.section(both).missing


def test_the_treemap_has_every_layer_by_its_bytes(sources: Sources) -> None:
    chart = only(builds.layers(sources))
    pull, disk = (view.figure["data"][0] for view in chart.views)
    assert dict(zip(pull["labels"], pull["values"], strict=True)) == {
        "base": 33,
        "py-torch": 718,
        "source": 5,
    }
    assert disk["values"] == [66, 1436, 10]


def test_the_rebuild_matrix_has_each_change_in_both_orders(sources: Sources) -> None:
    chart = only(builds.rebuilds(sources))
    cells = {(row["change"], row["order"]) for row in chart.table.records()}
    changes, orders = ({cell[place] for cell in cells} for place in (0, 1))
    assert len(orders) == 2
    assert len(cells) == len(changes) * 2
    for view in chart.views:
        assert set(named(view.figure)) == orders


def test_replay_adds_up_what_each_grouping_pulled(sources: Sources) -> None:
    chart = only(builds.replays(sources))
    totals = {row["grouping"]: row for row in chart.table.records() if not row["without"]}
    line = named(chart.views[0].figure)["ours"]
    assert line["y"][-1] * 1e3 == pytest.approx(totals["ours"]["pulled_mb"])
    assert sorted(line["y"]) == line["y"]


def test_the_shares_of_each_truth_come_to_one(sources: Sources) -> None:
    chart = only(rates.section(sources))
    for view in chart.views:
        shares = zip(*(trace["x"] for trace in view.figure["data"]), strict=True)
        assert all(math.isclose(sum(each), 1) for each in shares)
    assert len(chart.table.rows) == len(sources.rates)


@given(st.floats(1e-9, 1e15), st.floats(1, 1e9))
def test_ticks_are_few_and_reach_around_the_values(low: float, factor: float) -> None:
    high = low * factor
    found = ticks(low, high)
    assert found == sorted(set(found))
    assert 1 <= len(found) <= 13
    # An axis that begins at zero in its first step has no tick there: a logarithm has none.
    assert found[-1] >= high * (1 - 1e-5)
    assert found[0] <= low * (1 + 1e-5) or high / low < 4


@given(st.lists(st.text(), max_size=40))
def test_series_look_the_same_wherever_they_are_and_differ_from_each_other(
    names: list[str],
) -> None:
    found = styles(names)
    assert found["sdp"] == styles([])["sdp"]
    looks = [
        (look["line"]["color"], look["line"]["dash"], look["marker"]["symbol"])
        for look in list(found.values())[: 4 * len(BACKENDS)]
    ]
    assert len(set(looks)) == len(looks)
