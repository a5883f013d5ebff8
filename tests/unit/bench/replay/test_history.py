"""Past locks: each month is resolved once, and what cannot be is left out with its reason."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement

from scripts.bench.replay import history
from scripts.bench.replay.history import (
    History,
    Locked,
    exact,
    month_ends,
    names,
    replay,
    without_floor,
    without_packages,
)
from scripts.bench.replay.pulls import Key
from scripts.lock.lockfile import Lockfile
from scripts.lock.resolve import Job, job
from scripts.workspace.errors import BadInput, Failure
from scripts.workspace.model import Environment, Target, Workspace, load

DAYS = month_ends(date(2026, 11, 20), 5)
TARGETS = [Target(environment=name, stack=None, python="3.10") for name in ("webui", "worker")]
INPUTS = {
    "webui.in": "-r more.in\nfirst==1.0\n",
    "more.in": "second>=2,<3\n",
    "worker.in": "third>=3\n",
}

Answer = Callable[[Job, date], None]


class Resolver:
    """A fake of compile_all: one package for each .in file, whose version is the day."""

    def __init__(self, answer: Answer = lambda job, day: None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, date]] = []
        self.texts: list[str] = []

    def __call__(
        self, jobs: Sequence[Job], workspace: Workspace, *, history: bool
    ) -> list[Lockfile]:
        assert history
        day = workspace.lock.as_of
        [job] = jobs
        self.asked.append((job.target.environment, day))
        folder = job.files[0].parent
        self.texts.append("".join(path.read_text() for path in sorted(folder.glob("*.in"))))
        self.answer(job, day)
        name = job.target.environment
        body = (
            f"{name}==1.{day:%Y%m} \\\n    --hash=sha256:aa\n"
            f"    # via -r {name}.in\n    # file {name}-{day}.whl {day.month} bytes {day}\n"
        )
        return [Lockfile(job.path, job.inputs, body)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("requirements")
    for name, text in INPUTS.items():
        (folder / name).write_text(text)
    return load().model_copy(
        update={
            "environments": {
                each.environment: Environment(
                    requirements=str(folder / f"{each.environment}.in"),
                    pythons=("3.10",),
                    imports=("clay",),
                )
                for each in TARGETS
            }
        }
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(history, "CACHE", tmp_path)
    return tmp_path


def run(
    workspace: Workspace,
    resolver: Resolver,
    without: Sequence[str] = (),
    targets: Sequence[Target] = TARGETS,
) -> History:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "compile_all", resolver)
        return replay(workspace, targets, DAYS, without, lambda month, known: None)


def all_months() -> list[tuple[str, date]]:
    return [(target.environment, day) for target in TARGETS for day in DAYS]


@contextmanager
def fresh_cache(factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "CACHE", factory.mktemp("cache"))
        yield


@settings(deadline=None, max_examples=20)
@given(
    done=st.integers(0, len(DAYS) * len(TARGETS) - 1),
    stop=st.sampled_from([KeyboardInterrupt, Failure]),
)
def test_a_replay_that_was_stopped_goes_on_where_it_was(
    workspace: Workspace,
    tmp_path_factory: pytest.TempPathFactory,
    done: int,
    stop: type[BaseException],
) -> None:
    def interrupt(job: Job, day: date) -> None:
        if len(stopped.asked) > done:
            raise stop("now")

    stopped, rest, whole = Resolver(interrupt), Resolver(), Resolver()
    with fresh_cache(tmp_path_factory):
        with pytest.raises(stop):
            run(workspace, stopped)
        found = run(workspace, rest)
    assert rest.asked == all_months()[done:]
    with fresh_cache(tmp_path_factory):
        assert run(workspace, whole) == found
    assert whole.asked == all_months()


def test_a_month_is_resolved_once(workspace: Workspace, cache: Path) -> None:
    first = run(workspace, Resolver())
    again = Resolver()
    assert run(workspace, again) == first
    assert again.asked == []


def test_a_kept_month_that_is_damaged_is_resolved_anew(workspace: Workspace, cache: Path) -> None:
    first = run(workspace, Resolver())
    damaged = sorted(cache.rglob("*.json"))[0]
    damaged.write_text(damaged.read_text()[:-3])
    again = Resolver()
    assert run(workspace, again) == first
    assert len(again.asked) == 1


def test_other_inputs_are_other_months(workspace: Workspace, cache: Path, tmp_path: Path) -> None:
    run(workspace, Resolver())
    requirements = tmp_path / "webui.in"
    requirements.write_text("first==1.1\n")
    changed = workspace.model_copy(
        update={
            "environments": {
                **workspace.environments,
                "webui": Environment(
                    requirements=str(requirements), pythons=("3.10",), imports=("clay",)
                ),
            }
        }
    )
    again = Resolver()
    run(changed, again)
    assert again.asked == all_months()[: len(DAYS)]


def test_the_packages_of_a_day_are_those_of_all_targets(workspace: Workspace, cache: Path) -> None:
    found = run(workspace, Resolver())
    assert list(found.days) == DAYS
    for day, snapshot in zip(DAYS, found.snapshots, strict=True):
        assert {(key, wheel.name, wheel.size) for key, wheel in snapshot.items()} == {
            (Key(name, name), f"{name}-{day}.whl", day.month) for name in ("webui", "worker")
        }


def test_a_month_without_a_lock_is_left_out_with_its_reason_and_asked_again(
    workspace: Workspace, cache: Path
) -> None:
    def refuse(job: Job, day: date) -> None:
        if job.target.environment == "worker" and day == DAYS[2]:
            raise BadInput("third-3.whl was uploaded too late.")

    found = run(workspace, Resolver(refuse))
    assert list(found.days) == [*DAYS[:2], *DAYS[3:]]
    assert len(found.snapshots) == len(DAYS) - 1
    [refused] = found.refused
    assert (refused.target, refused.day) == ("worker-py3.10", DAYS[2])
    assert refused.reason == "third-3.whl was uploaded too late."
    again = Resolver()
    assert list(run(workspace, again).days) == DAYS
    assert again.asked == [("worker", DAYS[2])]


def test_the_lower_bounds_are_lifted_and_named_where_their_day_could_not_meet_them(
    workspace: Workspace, cache: Path
) -> None:
    def needs_third(job: Job, day: date) -> None:
        if day < DAYS[3] and ">=3" in job.files[0].read_text():
            raise BadInput("worker cannot be resolved: No solution found: only third<=2 is there")

    resolver = Resolver(needs_third)
    found = run(workspace, resolver, targets=TARGETS[1:])
    assert [lock.lifted for lock in found.locks] == [("third>=3",)] * 3 + [()] * 3
    assert resolver.texts[1] == "third\n"
    assert found == run(workspace, Resolver(), targets=TARGETS[1:])


def test_a_day_that_no_lower_bound_explains_is_refused_with_readable_names(
    workspace: Workspace, cache: Path
) -> None:
    def never(job: Job, day: date) -> None:
        raise BadInput(f"No solution found\n  {job.files[0]}:1: third")

    found = run(workspace, Resolver(never), targets=TARGETS[1:])
    assert [each.reason for each in found.refused] == [
        "No solution found\n  lifted/worker.in:1: third"
    ] * len(DAYS)


def test_a_package_is_left_out_of_every_file_that_names_it_and_nowhere_else(
    workspace: Workspace, cache: Path
) -> None:
    plain = run(workspace, Resolver())
    resolver = Resolver()
    found = run(workspace, resolver, ["second"])
    # The worker's files do not name it: its months are known already.
    assert resolver.asked == all_months()[: len(DAYS)]
    assert resolver.texts == ["\n-r more.in\nfirst==1.0\n"] * len(DAYS)
    assert found.snapshots == plain.snapshots
    assert [lock.without for lock in found.locks] == [("second",)] * 6 + [()] * 6


def test_what_is_left_out_stays_out_where_lower_bounds_are_lifted(
    workspace: Workspace, cache: Path
) -> None:
    def needs_second(job: Job, day: date) -> None:
        if len(resolver.asked) % 2:
            raise BadInput("No solution found")

    resolver = Resolver(needs_second)
    found = run(workspace, resolver, ["first"], TARGETS[:1])
    assert resolver.texts == ["second>=2,<3\n-r more.in\n\n", "second<3\n-r more.in\n\n"] * 6
    assert {lock.lifted for lock in found.locks} == {("second<3,>=2",)}


def test_what_the_inputs_name_and_hold_at_one_version_is_known(workspace: Workspace) -> None:
    webui = job(workspace, TARGETS[0])
    assert names(webui) == {"first", "second"}
    assert exact(webui) == {"first"}


@given(as_of=st.dates(date(2001, 1, 1), date(2100, 1, 1)), bumps=st.integers(0, 30))
def test_months_end_before_the_cutoff_and_none_is_skipped(as_of: date, bumps: int) -> None:
    days = month_ends(as_of, bumps)
    assert len(days) == bumps + 1
    assert all((day + timedelta(days=1)).day == 1 for day in days)
    months = [day.year * 12 + day.month for day in days]
    assert months == list(range(months[0], months[0] + bumps + 1))
    assert days[-1] <= as_of
    assert (as_of - days[-1]).days < 31


def test_the_month_that_ends_with_the_cutoff_is_over() -> None:
    assert month_ends(date(2026, 10, 31), 1) == [date(2026, 9, 30), date(2026, 10, 31)]


SPECIFIERS = st.lists(
    st.tuples(st.sampled_from([">=", ">", "<", "==", "!=", "~="]), st.sampled_from(["1.0", "2.5"])),
    max_size=3,
    unique_by=lambda each: each[0],
)


@given(
    specifiers=SPECIFIERS,
    extra=st.sampled_from(["", "[cli]"]),
    marker=st.sampled_from(["", ' ; python_version < "3.12"']),
)
def test_lifting_takes_the_lower_bounds_and_nothing_else(
    specifiers: list[tuple[str, str]], extra: str, marker: str
) -> None:
    line = f"some-name{extra}{','.join(a + b for a, b in specifiers)}{marker}"
    kept = [each for each in specifiers if each[0] not in (">=", ">")]
    expected = f"some-name{extra}{','.join(a + b for a, b in kept)}{marker}"
    assert Requirement(without_floor(line)) == Requirement(expected)


@given(
    line=st.sampled_from(["", "# torch>=2", "-r more.in", "-c more.txt", "--pre", "torch==2 # x"])
)
def test_lifting_leaves_other_lines_as_they_are(line: str) -> None:
    assert without_floor(line) == line


@given(
    specifiers=SPECIFIERS,
    extra=st.sampled_from(["", "[cli]"]),
    name=st.sampled_from(["some-name", "Some_Name", "some.name"]),
    comment=st.sampled_from(["", "  # why"]),
)
def test_a_line_is_left_out_however_it_spells_the_package(
    specifiers: list[tuple[str, str]], extra: str, name: str, comment: str
) -> None:
    line = f"{name}{extra}{','.join(a + b for a, b in specifiers)}{comment}"
    assert without_packages(line, ["some-name"]) == ""
    assert without_packages(line, ["some", "name"]) == line


def test_what_is_kept_is_read_back_as_it_was(workspace: Workspace, cache: Path) -> None:
    locks = run(workspace, Resolver()).locks
    for lock in locks:
        assert Locked.model_validate_json(lock.model_dump_json()) == lock
