"""BuildKit's events become steps, in either form in which buildx writes them."""

import base64
import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.build.progress import Step, Steps, events, show

START, END = "2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:02.5Z"


def vertex(**fields: Any) -> dict[str, Any]:
    return {"vertexes": [{"digest": "sha256:1", "name": "[py-torch 1/2] RUN x", **fields}]}


def feed(*given: dict[str, Any] | str) -> Steps:
    steps = Steps()
    for event in given:
        steps.feed(event)
    return steps


objects = st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5)))


@given(given=st.lists(objects.filter(bool)))
def test_events_are_read_on_one_line_and_on_several(given: list[dict[str, Any]]) -> None:
    for indent in (None, 2):
        lines = io.StringIO("".join(json.dumps(event, indent=indent) + "\n" for event in given))
        assert list(events(lines)) == given


def test_a_message_between_events_is_kept_as_it_is() -> None:
    lines = ['{"vertexes": []}\n', "ERROR: failed to solve\n", "{\n", '  "a": 1\n', "}\n"]
    assert list(events(lines)) == [{"vertexes": []}, "ERROR: failed to solve", {"a": 1}]
    assert feed(*events(lines)).other == ["ERROR: failed to solve"]


def test_a_step_runs_from_its_start_to_its_end() -> None:
    (step,) = feed(vertex(), vertex(started=START), vertex(started=START, completed=END))
    assert step.state == "done"
    assert abs(step.seconds() - 2.376544) < 1e-6


def test_a_cached_step_is_told_apart() -> None:
    (step,) = feed(vertex(started=START, completed=START, cached=True))
    assert step.state == "cached"


def test_the_end_of_a_step_is_reported_once() -> None:
    steps = Steps()
    assert not steps.feed(vertex(started=START))
    assert len(steps.feed(vertex(started=START, completed=END))) == 1
    assert not steps.feed(vertex(started=START, completed=END))


def test_the_step_that_failed_is_found_among_those_that_were_cancelled() -> None:
    cancelled = {"digest": "sha256:2", "name": "b", "error": "context canceled"}
    steps = feed({"vertexes": [cancelled]}, vertex(error="exit code: 1"))
    failed = steps.failed()
    assert failed is not None
    assert failed.name == "[py-torch 1/2] RUN x"


def said(text: str) -> dict[str, Any]:
    data = base64.b64encode(text.encode()).decode()
    return {"logs": [{"vertex": "sha256:1", "data": data}]}


@given(chunks=st.lists(st.text(st.characters(codec="ascii"))))
def test_all_that_a_step_prints_is_kept_as_it_came(chunks: list[str]) -> None:
    (step,) = feed(vertex(started=START), *map(said, chunks))
    assert step.output == "".join(chunks)


def test_a_line_that_comes_in_two_parts_is_one_line() -> None:
    (step,) = feed(vertex(started=START), said("cause"), said(": connection refused\n\n"))
    assert step.tail(30) == ["cause: connection refused"]


def test_the_tail_is_the_last_lines_that_say_something() -> None:
    (step,) = feed(vertex(started=START), said("".join(f"line {n}\n\n" for n in range(100))))
    assert step.tail(2) == ["line 98", "line 99"]


def status(name: str, current: int) -> dict[str, Any]:
    return {"statuses": [{"id": name, "vertex": "sha256:1", "current": current}]}


def test_what_a_step_received_is_the_last_state_of_each_transfer() -> None:
    (step,) = feed(
        vertex(started=START),
        status("transferring tools:", 10),
        status("transferring tools:", 25),
        status("sha256:a", 100),
        status("exporting layers", 7),
    )
    assert step.received == 125


def test_a_command_tells_itself_what_it_downloaded() -> None:
    (step,) = feed(vertex(started=START), said("Resolved\ndownloaded 88130629 bytes\n"))
    assert step.received == 88130629


def test_nothing_is_said_of_a_step_whose_downloads_nobody_counts() -> None:
    (step,) = feed(vertex(started=START), said("downloaded the internet\n"))
    assert step.received is None


def test_a_step_is_queued_when_it_is_announced_first() -> None:
    (step,) = feed(vertex(), vertex(started=START))
    assert step.queued is not None
    assert step.started is not None
    (again,) = feed(vertex())
    assert again.queued is not None
    assert again.queued >= step.queued


def test_the_stage_of_a_step_is_its_first_word() -> None:
    assert Step("[py-torch 1/2] RUN x").stage == "py-torch"
    assert Step("[image  2/10] COPY --link --from=py-cuda /layer /").stage == "image"
    assert Step("[context tools] load from client").stage == ""
    assert Step("[1/1] ADD rootfs.tar /").stage == ""


def test_without_a_terminal_each_finished_step_is_one_plain_line() -> None:
    out = io.StringIO()
    lines = [json.dumps(vertex(started=START, completed=END)) + "\n"]
    show(lines, Steps(), Console(file=out, force_terminal=False, width=80))
    assert out.getvalue() == "    2.4 s  [py-torch 1/2] RUN x\n"


def test_transfers_and_links_are_no_work() -> None:
    for name in ("[internal] load metadata", "[context source] load from client", "exporting"):
        assert not Step(name).is_work
    assert not Step("[image  2/10] LINK COPY --link --from=py-cuda /layer /").is_work
    assert Step("[image  2/10] COPY --link --from=py-cuda /layer /").is_work
    assert Step("[1/1] ADD rootfs.tar /").is_work


def test_a_title_leaves_the_mounts_out() -> None:
    step = Step("[layout 1/2] RUN --mount=type=bind,from=tools,target=/tools     /tools/uv venv")
    assert step.title == "[layout 1/2] RUN /tools/uv venv"


def test_a_cache_that_is_not_there_is_not_why_a_build_failed() -> None:
    missing = {"digest": "sha256:2", "name": "importing cache manifest from a.io/x:1"}
    failed = {"completed": END, "started": START}
    steps = feed(
        {"vertexes": [{**missing, **failed, "error": "a.io/x:1: not found"}]},
        vertex(**failed, error="exit code: 1"),
    )
    step = steps.failed()
    assert step is not None
    assert step.error == "exit code: 1"
