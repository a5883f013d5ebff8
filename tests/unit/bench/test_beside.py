"""What is mounted beside the image's packages, and what is said of the GPU; engines are fakes."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bench import __main__ as bench
from scripts.bench import container, journal, packages, schema
from scripts.bench.options import parser
from scripts.bench.suite import Settings, Sink, Suite
from scripts.lock.lockfile import locked
from scripts.workspace.errors import BadInput, CheckFailed, Failure
from scripts.workspace.model import load
from tests.unit.bench.test_network_suites import END, HEADER, ROUNDS, SHAPE, UNET, case

MEASURED = [HEADER, SHAPE, *(case(name) for name in UNET), *ROUNDS, END]
UNUSED = "this machine has an NVIDIA GPU, and it is not used"


class FakeEngine:
    """Stands for an engine; the suites that are given its client are fakes, too."""

    def client(self) -> object:
        return self


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path | None]:
    """What each suite of a run was given beside the image's packages."""
    given: dict[str, Path | None] = {}

    def fake(name: Any) -> Suite:
        def run(_client: Any, _image: str, settings: Settings, into: Sink) -> None:
            given[name] = settings.packages
            for record in MEASURED:
                into.append(record)

        real = bench.SUITES["unet"]
        return Suite(run, real.evaluate, real.shape_of)

    record = SimpleNamespace(image="sdkiln:x", lock_sha256="0", digest="sha256:0", recipe=None)
    monkeypatch.setattr(bench, "built", lambda _: record)
    monkeypatch.setattr(bench, "ensure", FakeEngine)
    monkeypatch.setattr(bench, "unused_gpu", lambda _: None)
    monkeypatch.setattr(bench, "BENCH", tmp_path)
    monkeypatch.setattr(journal, "BENCH", tmp_path)
    monkeypatch.setattr(packages, "installed", lambda *_: Path("/whole"))
    monkeypatch.setattr(packages, "watching", lambda *_: Path("/nvml"))
    for name in bench.SUITES:
        monkeypatch.setitem(bench.SUITES, name, fake(name))
    return given


def run(tmp_path: Path, suites: str) -> schema.Run:
    file = tmp_path / "run.json"
    assert bench.main(parser().parse_args(["--suite", suites, f"--json={file}"])) == 0
    return schema.load(file)


@pytest.mark.parametrize("has_gpu", [True, False])
def test_a_container_with_a_gpu_gets_what_watches_it_whatever_the_suite(
    has_gpu: bool,
    mounted: dict[str, Path | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "gpus", lambda _: [object()] if has_gpu else None)
    for suite in ("attn", "unet", "vae", "image"):
        run(tmp_path, suite)
    small = Path("/nvml") if has_gpu else None
    whole = Path("/whole")
    assert mounted == {"attn": small, "unet": whole, "vae": whole, "image": small}


def test_where_nvml_cannot_be_installed_the_suite_runs_and_the_result_says_so(
    mounted: dict[str, Path | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Path:
        raise Failure("the package registry could not be reached for it:\nits name and error")

    monkeypatch.setattr(bench, "gpus", lambda _: [object()])
    monkeypatch.setattr(packages, "watching", away)
    notes = run(tmp_path, "attn").notes
    assert mounted == {"attn": None}
    assert notes == (
        "attn: nvidia-ml-py could not be installed: the package registry could not be reached "
        "for it",
    )


@pytest.mark.usefixtures("mounted")
def test_a_package_that_is_not_as_it_was_locked_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*_: object) -> Path:
        raise CheckFailed("another hash")

    monkeypatch.setattr(bench, "gpus", lambda _: [object()])
    monkeypatch.setattr(packages, "watching", other)
    with pytest.raises(CheckFailed, match="another hash"):
        run(tmp_path, "attn")


@pytest.mark.usefixtures("mounted")
def test_a_gpu_that_is_not_used_is_said_and_stands_in_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "gpus", lambda _: None)
    monkeypatch.setattr(bench, "unused_gpu", lambda _: UNUSED)
    assert UNUSED in run(tmp_path, "attn").notes
    assert f"bench: {UNUSED}" in capsys.readouterr().err


def test_what_watches_the_gpu_is_one_package_of_the_lock_by_its_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installer is a fake that keeps what it was given to read."""
    workspace = load()
    profile = workspace.profile("sandbox")
    (pin,) = [each for each in locked(packages.lock_of(profile)) if each.name == "nvidia-ml-py"]
    read: list[str] = []

    def install(_name: str, lock: Path, target: Path, *_: object) -> None:
        read.append(lock.read_text())
        target.mkdir()

    monkeypatch.setattr(packages, "PACKAGES", tmp_path)
    monkeypatch.setattr(packages, "_install", install)
    small = packages.watching(workspace, profile)
    whole = packages.installed(workspace, profile)
    assert small != whole
    assert read[0] == pin.text
    assert read[0].count("--hash=sha256:") == len(pin.hashes) > 0
    assert "diffusers==" in read[1]
    assert packages.watching(workspace, profile) == small
    assert len(read) == 2


class FakeApi:
    """Stands for the engine's lower interface: it keeps what was to be run beside a web UI."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}

    def exec_create(self, _id: str, _command: Sequence[str], **more: Any) -> dict[str, str]:
        self.environment = more["environment"]
        return {"Id": "1"}

    def exec_start(self, _id: str, **_: Any) -> list[tuple[bytes, None]]:
        return [(b'{"record":"final"}\n', None)]

    def exec_inspect(self, _id: str) -> dict[str, int]:
        return {"ExitCode": 0}


def test_the_driver_beside_the_web_ui_can_import_what_is_mounted() -> None:
    api = FakeApi()
    client: Any = SimpleNamespace(api=api)
    made: Any = SimpleNamespace(id="1")
    assert list(container.exec_probe(client, made, ["image"], {})) == [{"record": "final"}]
    assert container.PACKAGES in api.environment["PYTHONPATH"].split(":")


def test_an_image_of_other_inputs_than_now_is_said_and_never_recorded(
    mounted: dict[str, Path | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "gpus", lambda _: None)
    monkeypatch.setattr(bench, "is_of_now", lambda *_: False)
    told = "the image was built from other inputs than the checkout has now"
    assert told in run(tmp_path, "unet").notes
    mounted.clear()
    with pytest.raises(BadInput, match="cannot be recorded") as refused:
        bench.main(parser().parse_args(["--suite", "unet", "--record"]))
    assert refused.value.hint == "Build it first: ./nox -s build -- --profile sandbox"
    assert not mounted
