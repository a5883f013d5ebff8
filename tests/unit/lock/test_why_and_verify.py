"""What the locks answer: why a package is there, and whether a second resolver agrees."""

import hashlib
import platform
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lock import resolve
from scripts.lock import verify as verify_module
from scripts.lock.lockfile import Lockfile, Pin, locked
from scripts.lock.lockfile import pins as locked_pins
from scripts.lock.verify import Difference, differences, verify
from scripts.lock.why import lines, why
from scripts.workspace.errors import BadInput, Inconclusive
from scripts.workspace.model import Environment, Lock, load, targets
from scripts.workspace.paths import ROOT
from tests.support.index import Index
from tests.support.repositories import git, repository


def test_a_package_is_explained_by_line_chain_layer_and_file() -> None:
    text = "\n".join(lines(why("torch", load())))
    assert "because   requirements/stack-cu121.in -> torch 2.1.2" in text
    assert "because   requirements/stack-cu128.in -> torch 2.8.0" in text
    assert "requirements/stack-cu121.in:2: torch==2.1.2" in text
    assert "layer     py-torch" in text
    assert "670.2 MB, uploaded 2023-12-14" in text


def test_a_package_that_nobody_asks_for_has_a_chain_that_leads_to_an_in_file() -> None:
    for place in why("aiohttp", load()):
        assert place.chain[0].startswith("requirements/")
        assert place.chain[-1].startswith("aiohttp ")
        assert len(place.chain) > 2
        assert not place.lines


def test_a_constraint_is_no_reason_for_a_package_to_be_there() -> None:
    workspace = load()
    names = {pin.name for target in targets(workspace) for pin in locked(target.name)}
    assert "setuptools" in names
    chains = [
        place.chain
        for name in ("setuptools", "aiohttp", "protobuf")
        for place in why(name, workspace)
    ]
    assert chains
    assert not [chain for chain in chains if "constraints" in chain[0]]


def test_targets_whose_chains_differ_do_not_stand_together() -> None:
    places = why("pydantic", load())
    told = [line.strip() for line in lines(places)]
    for place in places:
        assert f"because   {' -> '.join(place.chain)}" in told


def test_a_version_is_dated_by_the_commit_that_brought_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository(tmp_path / "workspace")
    module = sys.modules[why.__module__]
    monkeypatch.setattr(module, "ROOT", folder)
    monkeypatch.setattr(module, "LOCKFILES", folder)
    (target,) = [each for each in targets(load()) if each.name == "worker-py3.11"]
    monkeypatch.setattr(module, "targets", lambda workspace: [target])
    for version, subject in (("1.0", "Add"), ("1.0.1", "Bump"), ("1.0.1", "Move the other")):
        pin = Pin("clay", version, f"clay=={version}", ("sha256:a",), via=("-r requirements/a.in",))
        (folder / "worker-py3.11.txt").write_text(f"# {subject}\n{pin.text}")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", subject)
        monkeypatch.setattr(module, "locked", lambda name, pin=pin: [pin])
        (place,) = why("clay", load())
        assert place.since.endswith(f" {'Bump' if subject.startswith('Move') else subject}")
    # Back to what an older commit has, by hand: the commit that removed it did not bring it.
    monkeypatch.setattr(
        module, "locked", lambda name: [replace(pin, version="1.0", requirement="clay==1.0")]
    )
    (place,) = why("clay", load())
    assert place.since == "not committed yet"


def test_every_package_of_every_lock_has_a_reason() -> None:
    workspace = load()
    for target in targets(workspace):
        for pin in locked(target.name):
            assert pin.via, f"{target.name}: {pin.name}"


def test_each_version_of_a_universal_lock_is_explained_with_its_marker() -> None:
    places = [place for place in why("numpy", load()) if place.target.name == "bench"]
    assert len(places) > 1
    assert all("python_full_version" in place.marker for place in places)


def test_a_spelling_that_is_not_canonical_is_understood() -> None:
    assert why("Open_CLIP.torch", load())[0].version == "2.20.0"


@pytest.mark.parametrize("name", ["tourch", "x", "nothing-like-it-anywhere"])
def test_a_package_that_no_lock_holds_is_refused_with_the_three_nearest(name: str) -> None:
    with pytest.raises(BadInput, match=rf"no lock holds {name}\. The nearest: ") as caught:
        why(name, load())
    assert caught.value.message.count(",") == 2


def test_the_nearest_name_comes_first() -> None:
    with pytest.raises(BadInput, match=r"The nearest: torch, "):
        why("tourch", load())


def test_an_extra_of_a_package_of_the_base_has_a_chain_through_the_base(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = Pin("httpx", "1", "httpx==1", (), via=("-r requirements/webui.in",))
    extra = Pin("h2", "4", "h2==4", (), via=("httpx",))
    held = {"webui": [base], "sandbox": [extra]}
    module = sys.modules[why.__module__]
    monkeypatch.setattr(module, "locked", lambda name: held.get(name.partition("-")[0], []))
    (place,) = why("h2", load())
    assert place.chain == ("requirements/webui.in", "httpx 1", "h2 4")


def test_a_reader_that_has_seen_enough_ends_the_answer_without_a_word() -> None:
    done = subprocess.run(
        f"{sys.executable} -m scripts.lock --why numpy | head -n 1",
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("numpy 1.26.2\n", "")


hashes = st.sets(st.sampled_from(["sha256:a", "sha256:b", "sha256:c"]), min_size=1)
locks = st.dictionaries(
    st.sampled_from(["clay", "kiln", "glaze"]), st.tuples(st.sampled_from("12"), hashes)
)


def pins(lock: dict[str, tuple[str, set[str]]]) -> list[Pin]:
    return [
        Pin(name, version, f"{name}=={version}", tuple(sorted(found)))
        for name, (version, found) in lock.items()
    ]


@given(ours=locks, theirs=locks)
def test_resolvers_agree_exactly_when_names_versions_and_all_hashes_do(
    ours: dict[str, tuple[str, set[str]]], theirs: dict[str, tuple[str, set[str]]]
) -> None:
    found = list(differences("app", pins(ours), pins(theirs)))
    differing = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    assert {each.name for each in found} == differing


def test_the_order_of_hashes_does_not_matter() -> None:
    one = Pin("clay", "1", "clay==1", ("sha256:a", "sha256:b"))
    other = Pin("clay", "1", "clay==1", ("sha256:b", "sha256:a"))
    assert not list(differences("app", [one], [other]))


def test_a_difference_says_what_each_resolver_has() -> None:
    ours = pins({"clay": ("1", {"sha256:a", "sha256:b"}), "kiln": ("1", {"sha256:a"})})
    theirs = pins({"clay": ("1", {"sha256:a", "sha256:c"})})
    assert list(differences("app", ours, theirs)) == [
        Difference("app", "clay", "1, 2 hashes", "1 hashes more, 1 less"),
        Difference("app", "kiln", "1", "-"),
    ]


def test_what_uv_would_not_lock_by_now_has_drifted_and_is_no_quarrel_of_resolvers(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel("setuptools", "80.0")
    index.wheel("clay", "1.0", "2026-01-01")
    (tmp_path / "app.in").write_text("clay\n")
    environment = Environment(
        requirements=str(tmp_path / "app.in"), imports=("clay",), pythons=("3.11",)
    )
    workspace = load().model_copy(
        update={
            "lock": Lock(as_of=date(2026, 2, 1), platform=load().lock.platform),
            "environments": {"app": environment},
        }
    )
    (job,) = [resolve.job(workspace, target) for target in targets(workspace)]
    (made,) = resolve.compile_all([job], workspace)
    monkeypatch.setattr(verify_module, "locked", lambda name: list(locked_pins(made.body)))
    difference = [Difference(job.target.name, "clay", "1.0", "1.1")]
    assert not verify_module.drifted(difference, [job], workspace)
    index.wheel("clay", "1.1", "2026-01-02")  # shown late: it was there before the day
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another cache"))
    assert verify_module.drifted(difference, [job], workspace)
    assert not verify_module.drifted(
        [*difference, replace(difference[0], name="glaze")], [job], workspace
    )


def test_what_a_universal_lock_has_for_others_hides_no_drift_of_what_is_for_this_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (target,) = [each for each in targets(load()) if each.name == "tools"]
    job = resolve.job(load(), target)
    here, elsewhere = "sys_platform != 'x'", "sys_platform == 'x'"
    ours = Pin("clay", "2", f"clay==2 ; {here}", ("sha256:aa",))
    others = Pin("clay", "1", f"clay==1 ; {elsewhere}", ("sha256:aa",))
    more = replace(ours, hashes=("sha256:aa", "sha256:bb"))
    body = "".join(pin.text for pin in (more, others))
    made = Lockfile(job.path, job.inputs, body)
    monkeypatch.setattr(verify_module, "compile_all", lambda jobs, workspace: [made])
    monkeypatch.setattr(verify_module, "locked", lambda name: [ours, others])
    found = list(differences("tools", [ours], [more]))
    assert verify_module.drifted(found, [job], load())


def test_pip_tools_is_installed_again_when_its_python_is_gone(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.wheel("clay", "1.0")
    sha256 = hashlib.sha256(index.contents["clay-1.0-py3-none-any.whl"]).hexdigest()
    path = tmp_path / "verify.txt"
    path.write_text(Lockfile(path, {}, f"clay==1.0 --hash=sha256:{sha256}\n").text())
    monkeypatch.setattr(verify_module, "LOCKFILES", tmp_path)
    monkeypatch.setattr(verify_module, "CACHE", tmp_path / "cache")
    python = verify_module._tool("")
    asked = len(index.asked)
    assert verify_module._tool("") == python
    assert len(index.asked) == asked
    python.unlink()
    python.symlink_to(tmp_path / "a Python that was removed")
    assert verify_module._tool("") == python
    assert subprocess.run([python, "-c", "import clay"]).returncode == 0


@pytest.mark.parametrize(
    ("system", "machine", "told"),
    [
        ("Linux", "x86_64", None),
        ("Linux", "aarch64", "Linux on aarch64"),
        ("Darwin", "x86_64", "Darwin on x86_64"),
    ],
)
def test_a_lock_for_another_platform_than_this_machine_s_cannot_be_verified(
    system: str, machine: str, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    jobs = {target.name: resolve.job(load(), target) for target in targets(load())}
    reason = verify_module.elsewhere(jobs["worker-py3.11"], load())
    assert reason is None if told is None else told in str(reason)
    # pip-compile is asked for what a universal lock has for the machine that it runs on.
    assert verify_module.elsewhere(jobs["tools"], load()) is None


def test_packages_ahead_of_the_others_cannot_be_verified() -> None:
    lock = load().lock
    workspace = load().model_copy(
        update={"lock": lock.model_copy(update={"ahead": {"runpod": lock.as_of}})}
    )
    with pytest.raises(Inconclusive, match="runpod"):
        verify([], workspace, print)
