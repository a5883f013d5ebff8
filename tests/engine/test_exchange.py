"""Machines that share builds: caches, pushes, attestations and builders, each of them real.

Two machines with an engine each build the sandbox with small folders in the place of the layers
that take gigabytes.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.build.registry import INDEX, manifest, parse
from scripts.lock import apt
from tests.support import layers
from tests.support.buildkit import remote_end
from tests.support.machines import Machine, machine, steps_run
from tests.support.registry import Registry, running
from tests.support.servers import REFUSING, cutting

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or apt.available() is not None,
    reason="the embedded engine is for root on Debian or Ubuntu",
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that put a small folder in the place of each large layer."""
    return layers.small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, small: list[str]) -> Iterator[Machine]:
    """A machine that has built."""
    with machine(tmp_path_factory.mktemp("one")) as made:
        made.run("build", *small)
        yield made


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("other")) as made:
        yield made


@pytest.fixture
def other(second: Machine) -> Machine:
    """A machine whose engine is empty."""
    second.forget()
    return second


@pytest.fixture(params=["registry", "folder"])
def cache(request: pytest.FixtureRequest, registry: Registry, tmp_path: Path) -> str:
    return f"{registry.host}/cache:sandbox" if request.param == "registry" else f"{tmp_path}/cache"


def test_an_empty_engine_takes_every_step_from_a_cache_and_makes_the_same_image(
    one: Machine, other: Machine, small: list[str], cache: str
) -> None:
    one.run("build", *small, f"--cache-to={cache}")
    other.run("build", *small, f"--cache-from={cache}")
    record = other.built()
    assert len(record.steps) > 20
    assert steps_run(record) == []
    assert record.digest == one.built().digest
    assert all(layer.cached for layer in record.layers)


def test_a_cache_that_is_not_there_yet_is_said_and_changes_nothing(
    one: Machine, small: list[str], registry: Registry, tmp_path: Path
) -> None:
    digest = one.built().digest
    one.engine().client().images.remove(one.built().image)
    nowhere = [f"--cache-from={registry.host}/none:1", f"--cache-from={tmp_path}/none"]
    done = one.run("build", *small, *nowhere)
    assert f"There is no cache in {tmp_path}/none yet." in done.stderr
    assert f"importing cache manifest from {registry.host}/none:1-image" in done.stdout
    assert one.built().digest == digest


def test_what_is_pushed_is_the_very_image(
    one: Machine, small: list[str], registry: Registry
) -> None:
    reference = f"{registry.host}/worker:1"
    done = one.run("build", *small, f"--push={reference}")
    record = one.built()
    assert record.pushed == f"{reference}@{record.digest}"
    assert f"Pushed: {record.pushed}" in done.stdout
    assert manifest(parse(reference, "")).digest == record.digest


def test_attestations_leave_the_image_as_it_is_and_are_what_docker_reads(
    one: Machine, small: list[str], registry: Registry
) -> None:
    reference = f"{registry.host}/attested:1"
    digest = one.built().digest
    one.run("build", *small, f"--push={reference}", "--attest=sbom", "--attest=provenance")
    assert one.built().digest == digest
    index = manifest(parse(reference, ""))
    assert one.built().pushed == f"{reference}@{index.digest}"
    assert index.media_type == INDEX
    assert index.document["manifests"][0]["digest"] == digest

    def inspected(what: str) -> dict[str, dict[str, object]]:
        template = f"{{{{json .{what}}}}}"
        said = one.engine().buildx("imagetools", "inspect", reference, "--format", template)
        found: dict[str, dict[str, object]] = json.loads(said)
        return found

    bill = json.dumps(inspected("SBOM")["SPDX"])
    assert "pkg:pypi/runpod@" in bill
    assert "pkg:deb/debian/libgl1@" in bill
    # It was replaced.
    assert "pkg:pypi/torch@" not in bill
    definition = inspected("Provenance")["SLSA"]["buildDefinition"]
    assert isinstance(definition, dict)
    assert definition["externalParameters"]["replaced"] == sorted(layers.LARGE)


def test_the_pushed_image_runs_on_another_machine_with_and_without_attestations(
    one: Machine, other: Machine, small: list[str], registry: Registry
) -> None:
    client = other.engine().client()
    for tag, more in (("plain", []), ("attested", ["--attest=sbom"])):
        one.run("build", *small, f"--push={registry.host}/run:{tag}", *more)
        image = client.images.pull(f"{registry.host}/run", tag)
        said = client.containers.run(image, ["-V"], entrypoint="/usr/bin/python3", remove=True)
        assert said.startswith(b"Python 3")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Registry]:
    """A registry that has no layer yet, in any repository."""
    with running(tmp_path) as started:
        yield started


def test_a_push_that_is_cut_at_half_goes_on_from_what_the_registry_has(
    one: Machine, small: list[str], empty: Registry
) -> None:
    half = sum(layer.size or 0 for layer in one.built().layers) // 2
    with cutting(empty.host, after=half, times=1) as cuts:
        done = one.run("build", *small, f"--push={cuts.host}/cut/once:1")
    assert cuts.made == 1
    assert f"{cuts.host} dropped the push; trying again in 1 s" in done.stderr
    assert manifest(parse(f"{empty.host}/cut/once:1", "")).digest == one.built().digest


def test_a_registry_that_cuts_every_push_is_named_and_the_next_run_works(
    one: Machine, small: list[str], empty: Registry
) -> None:
    largest = max(layer.size or 0 for layer in one.built().layers)
    with cutting(empty.host, after=largest // 2, times=1000) as cuts:
        done = one.tries("build", *small, f"--push={cuts.host}/cut/always:1")
    assert done.returncode == 1
    assert f"{cuts.host} dropped the push; trying again in 4 s" in done.stderr
    assert f"build: {cuts.host} dropped the push 4 times" in done.stderr
    assert "Traceback" not in done.stderr
    one.run("build", *small, f"--push={empty.host}/cut/always:1")
    assert manifest(parse(f"{empty.host}/cut/always:1", "")).digest == one.built().digest


def test_a_cache_that_cannot_be_kept_is_an_error_that_names_the_registry(
    one: Machine, small: list[str]
) -> None:
    digest = one.built().digest
    done = one.tries("build", *small, f"--cache-to={REFUSING}/cache:1")
    assert done.returncode == 1
    assert f"the registry {REFUSING} dropped the push 4 times" in done.stderr
    assert "exporting cache to registry" in done.stderr
    assert one.built().digest == digest
    one.run("build", *small)


def test_a_base_whose_digest_is_gone_is_told_with_what_to_do(
    one: Machine, small: list[str], registry: Registry
) -> None:
    gone = f"{registry.host}/gone@sha256:{'0' * 64}"
    done = one.tries("build", *small, f"--context=base={gone}")
    assert done.returncode == 1
    assert f"{gone}: not found" in done.stderr
    assert "./nox -s lock -- --upgrade" in done.stderr
    assert "--context base=IMAGE" in done.stderr
    one.run("build", *small)


@pytest.fixture
def away(one: Machine, other: Machine) -> Iterator[str]:
    """A builder on `one` whose remote end is the empty engine of the other machine."""
    with remote_end(other.engine().host) as address:
        buildx(one, "create", "--name=away", "--driver=remote", address)
        yield "away"
        buildx(one, "rm", "away")


def buildx(at: Machine, *arguments: str) -> None:
    """Run buildx with a machine's settings, as its user does."""
    program = at.folder / "engine" / "config" / "cli-plugins" / "docker-buildx"
    environment = {**os.environ, **at.environment}
    subprocess.run([program, *arguments], env=environment, check=True, capture_output=True)


def test_a_remote_builder_builds_the_same_image_which_then_is_in_the_engine_here(
    one: Machine, small: list[str], away: str
) -> None:
    before = one.built()
    one.engine().client().images.remove(before.image, force=True)
    one.run("build", *small, f"--builder={away}")
    record = one.built()
    assert record.engine == "builder away"
    assert record.digest == before.digest
    assert any("/tools/install-packages /opt/worker" in name for name in steps_run(record))
    assert one.engine().client().images.get(record.image).id == before.digest
    assert [layer.name for layer in record.layers] == [layer.name for layer in before.layers]
    assert [layer.digest for layer in record.layers] == [layer.digest for layer in before.layers]
    assert not list((one.folder / "builds" / "sandbox").glob("*.tar"))


def test_a_remote_builder_pushes_the_image_and_the_layers_are_read_from_the_registry(
    one: Machine, small: list[str], registry: Registry, away: str
) -> None:
    one.run("build", *small)
    before = one.built()
    one.run("build", *small, f"--cache-to={registry.host}/away:1")
    reference = f"{registry.host}/from-away:1"
    cached = f"--cache-from={registry.host}/away:1"
    done = one.run("build", *small, f"--builder={away}", cached, f"--push={reference}")
    record = one.built()
    assert "It is not in this machine's engine" in done.stdout
    assert manifest(parse(reference, "")).digest == record.digest == before.digest
    assert record.image == f"{reference}@{record.digest}"
    assert [(layer.name, layer.digest, layer.size) for layer in record.layers] == [
        (layer.name, layer.digest, layer.size) for layer in before.layers
    ]
    one.run("build", *small)


def test_a_remote_builder_whose_push_is_cut_at_half_pushes_again(
    one: Machine, small: list[str], registry: Registry, empty: Registry, away: str
) -> None:
    one.run("build", *small, f"--cache-to={registry.host}/away:1")
    before = one.built()
    half = sum(layer.size or 0 for layer in before.layers) // 2
    cached = f"--cache-from={registry.host}/away:1"
    with cutting(empty.host, after=half, times=1) as cuts:
        one.run("build", *small, f"--builder={away}", cached, f"--push={cuts.host}/cut:1")
    assert cuts.made == 1
    assert manifest(parse(f"{empty.host}/cut:1", "")).digest == before.digest
    one.run("build", *small)


def test_a_builder_that_is_not_known_or_does_not_answer_is_refused(
    one: Machine, small: list[str]
) -> None:
    done = one.tries("build", *small, "--builder=awya")
    assert done.returncode == 2
    assert "buildx knows no builder of that name" in done.stderr
    assert "docker buildx create" in done.stderr
    buildx(one, "create", "--name=dead", "--driver=remote", f"tcp://{REFUSING}")
    done = one.tries("build", *small, "--builder=dead")
    assert done.returncode == 1
    assert "the builder dead does not answer." in done.stderr
