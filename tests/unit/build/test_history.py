"""Records of builds: read back, also of an older schema, and added up to the use of the cache."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.build import logs, record
from scripts.build.history import uses
from scripts.build.record import BuildRecord, Layer, StepRecord, history, latest, save
from scripts.workspace.errors import BadInput
from tests.support.records import build_record

RUN, COPY = "[py-worker 1/2] RUN install", "[image 1/2] COPY --from=py-worker /layer /"


@pytest.fixture(autouse=True)
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(record, "BUILDS", tmp_path)
    monkeypatch.setattr(logs, "BUILDS", tmp_path)
    return tmp_path


def step(name: str, seconds: float, received: int | None = None) -> StepRecord:
    """A step that ran, or one from the cache when it took no time."""
    return StepRecord(name=name, cached=not seconds, seconds=seconds, received=received)


def built(utc: str, *steps: StepRecord, digest: str = "", log: str = "") -> BuildRecord:
    layer = Layer(name="py-worker", digest=digest, size=1, unpacked=1, cached=not log, seconds=0)
    return build_record(
        digest="sha256:0",
        utc=utc,
        engine="embedded",
        layers=(layer,),
        steps=steps,
        logs={"py-worker": log} if log else {},
    )


def test_a_record_is_read_as_it_was_written() -> None:
    made = built("2026-01-01T00:00:00Z", step(RUN, 3, 88), log="logs/1/py-worker.txt")
    save(made)
    assert latest("sandbox") == made


def test_a_record_of_the_first_schema_is_read(builds: Path) -> None:
    old = built("2026-01-01T00:00:00Z", step(RUN, 3)).model_dump(mode="json")
    old["schema_version"] = 1
    del old["logs"]
    old["steps"] = [{"name": RUN, "cached": False, "seconds": 3}]
    (builds / "sandbox").mkdir()
    (builds / "sandbox" / "latest.json").write_text(json.dumps(old))
    read = latest("sandbox")
    assert read is not None
    assert read.logs == {}
    assert read.steps[0].queued is None


def test_the_history_is_newest_first_and_leaves_out_what_is_no_record(builds: Path) -> None:
    times = ["2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z"]
    for utc in times:
        save(built(utc))
    (builds / "sandbox" / "20260401T000000Z.json").write_text('{"schema_version": 0}')
    (builds / "sandbox" / "metadata.json").write_text("{}")
    assert [each.utc for each in history("sandbox")] == sorted(times, reverse=True)


def test_a_latest_record_that_cannot_be_read_names_the_file(builds: Path) -> None:
    (builds / "sandbox").mkdir()
    (builds / "sandbox" / "latest.json").write_text('{"schema_version": 0}')
    with pytest.raises(BadInput, match=r"latest\.json is no build record"):
        latest("sandbox")


def test_a_cached_step_saves_what_it_took_when_it_last_ran() -> None:
    first, second, third = uses(
        [
            built("1", step(RUN, 30, 1000), step(COPY, 1)),
            built("2", step(RUN, 20, 500), step(COPY, 0)),
            built("3", step(RUN, 0), step(COPY, 0)),
        ]
    )
    assert (first.run, first.run_s, first.cached, first.received) == (2, 31, 0, 1000)
    assert (second.run, second.run_s, second.saved_s, second.received) == (1, 20, 1, 500)
    assert (third.run, third.cached, third.saved_s, third.unknown) == (0, 2, 21, 0)


def test_what_a_cached_step_would_have_taken_is_not_made_up() -> None:
    (use,) = uses([built("1", step(RUN, 0), step(COPY, 0))])
    assert (use.saved_s, use.unknown) == (0, 2)


def test_transfers_and_what_buildkit_does_for_itself_count_as_no_step() -> None:
    (use,) = uses([built("1", step("[context tools] load from client", 3, 10))])
    assert (use.run, use.cached, use.received) == (0, 0, 10)


def test_a_record_that_tells_of_no_bytes_gives_none() -> None:
    (use,) = uses([built("1", step(RUN, 3))])
    assert use.received is None


def test_the_log_of_a_cached_layer_is_that_of_the_build_that_made_it(builds: Path) -> None:
    log = "logs/1/py-worker.txt"
    (builds / "sandbox" / "logs" / "1").mkdir(parents=True)
    (builds / "sandbox" / log).write_text("Resolved\n")
    made = built("1", digest="sha256:a", log=log)
    other = built("2", digest="sha256:b")
    again = built("3", digest="sha256:a")
    assert logs.carried(again.layers, [other, made]) == {"py-worker": log}
    assert logs.carried(other.layers, [made]) == {}
    (builds / "sandbox" / log).unlink()
    assert logs.carried(again.layers, [made]) == {}


def test_older_records_are_not_read_once_every_log_is_found(builds: Path) -> None:
    log = "logs/1/py-worker.txt"
    (builds / "sandbox" / "logs" / "1").mkdir(parents=True)
    (builds / "sandbox" / log).write_text("Resolved\n")

    def records() -> Iterator[BuildRecord]:
        yield built("1", digest="sha256:a", log=log)
        pytest.fail("an older record was read")

    again = built("2", digest="sha256:a")
    assert logs.carried(again.layers, records()) == {"py-worker": log}
