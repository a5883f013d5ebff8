"""The locks of a run: found in the checkout or in git, and what moved between those of two."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts.bench import schema
from scripts.bench.tracking import locks
from scripts.bench.tracking.causes import because
from scripts.build.record import lock_digest
from scripts.lock.lockfile import digest_of_all
from scripts.workspace.paths import LOCKFILES, ROOT
from tests.support.histories import (
    NEW,
    OLD,
    WEBUI,
    Checkout,
    digest,
    lock_texts,
    timed_run,
)
from tests.support.repositories import commit, git


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "repository")


def of(texts: dict[str, str], torch: str = OLD, **changes: Any) -> schema.Run:
    return timed_run(torch=torch, lock_sha256=digest(texts), **changes)


def test_a_build_has_the_digest_by_which_its_locks_are_found() -> None:
    """The function of the build itself, on the locks of this very checkout."""
    run = timed_run(lock_sha256=lock_digest())
    found = locks.of_run(run, ROOT)
    assert found is not None
    assert found.where == "the checkout"
    assert set(found.texts) == {path.name for path in LOCKFILES.iterdir()}


def test_locks_of_the_past_are_found_by_their_digest_alone(checkout: Checkout) -> None:
    """Byte by byte, and also in a commit that is neither the run's nor the newest."""
    texts = {**lock_texts(OLD), "naïve.toml": "a = 'ü'\n"}
    checkout.lock(texts)
    sha = git(checkout.root, "rev-parse", "HEAD")
    checkout.lock(lock_texts(NEW))
    checkout.lock({**lock_texts("2.9"), "more.txt": "# more\n"}, committed=False)
    found = locks.of_run(of(texts), checkout.root)
    assert found == locks.Locks(f"commit {sha[:12]}", texts)
    elsewhere = git(checkout.root, "rev-parse", "HEAD")
    assert locks.of_run(of(texts, git=schema.Git(sha=elsewhere, dirty=False)), checkout.root)


def test_locks_that_left_the_branch_are_found_by_the_commit_of_the_run(checkout: Checkout) -> None:
    checkout.lock(lock_texts(OLD))
    git(checkout.root, "checkout", "--quiet", "-b", "bump")
    state = checkout.lock(lock_texts(NEW))
    git(checkout.root, "checkout", "--quiet", "-")
    texts = lock_texts(NEW)
    assert locks.of_run(of(texts), checkout.root) is None
    assert locks.of_run(of(texts, seed=2, git=state), checkout.root)


def test_locks_that_were_merged_are_found(checkout: Checkout) -> None:
    checkout.lock(lock_texts(OLD))
    git(checkout.root, "checkout", "--quiet", "-b", "bump")
    checkout.lock(lock_texts(NEW))
    checkout.lock(lock_texts(OLD))
    git(checkout.root, "checkout", "--quiet", "-")
    commit(checkout.root, "meanwhile")
    git(checkout.root, "merge", "--quiet", "--no-edit", "bump")
    assert locks.of_run(of(lock_texts(NEW)), checkout.root)


@pytest.mark.parametrize("sha", [None, "0" * 40, "--help", "main:../.."])
def test_a_commit_that_is_not_there_hides_no_lock_and_asks_git_for_nothing_else(
    sha: str | None, checkout: Checkout
) -> None:
    checkout.lock(lock_texts(OLD))
    checkout.lock(lock_texts(NEW))
    state = schema.Git(sha=sha, dirty=False)
    assert locks.of_run(of(lock_texts(OLD), git=state), checkout.root)
    assert locks.of_run(of(lock_texts("9.9"), git=state), checkout.root) is None


def test_outside_of_git_only_the_checkout_is_known(tmp_path: Path) -> None:
    shutil.copytree(LOCKFILES, tmp_path / "lockfiles")
    here = digest_of_all({path.name: path.read_bytes() for path in LOCKFILES.iterdir()})
    assert locks.of_run(timed_run(lock_sha256=here), tmp_path)
    assert locks.of_run(timed_run(lock_sha256="0" * 64), tmp_path) is None


def test_a_run_is_of_the_stack_that_has_its_torch() -> None:
    """By this checkout's own locks: two stacks and two Pythons."""
    texts = {path.name: path.read_text() for path in LOCKFILES.iterdir()}
    found = locks.Locks("here", texts)
    for version, python, name in (
        ("2.1.2+cu121", "3.11.7", "webui-cu121-py3.11"),
        ("2.8.0+cu128", "3.10.14", "webui-cu128-py3.10"),
    ):
        software = timed_run().sw.model_copy(update={"torch": version, "python": python})
        webui = locks.webui(timed_run(sw=software), found)
        assert webui is not None
        assert (webui.name, webui.text) == (name, texts[f"{name}.txt"])
        assert webui.probe == texts[f"{name.replace('webui', 'probe')}.txt"]
    other = timed_run().sw.model_copy(update={"torch": "1.13"})
    assert locks.webui(timed_run(sw=other), found) is None


def test_a_change_is_tied_to_what_the_probe_saw_and_to_the_packages_that_moved(
    checkout: Checkout,
) -> None:
    before, after = lock_texts(OLD, timm="0.9"), lock_texts(NEW, triton="3.4")
    checkout.lock(before)
    checkout.lock(after)
    host = timed_run().host.model_copy(update={"governor": "performance"})
    found = because(of(before), of(after, NEW, host=host), "attn", checkout.root)
    assert found == (
        f"torch {OLD} -> {NEW}",
        "governor unknown -> performance",
        "timm 0.9 -> -",
        "triton - -> 3.4",
    )


def test_another_stack_is_told_by_its_packages(checkout: Checkout) -> None:
    texts = lock_texts(OLD)
    texts["webui-cu999-py3.11.txt"] = texts[WEBUI].replace(f"torch=={OLD}", f"torch=={NEW}")
    checkout.lock(texts)
    newer = of({**texts, "dev.txt": "# other\n"}, NEW)
    checkout.lock({"dev.txt": "# other\n"})
    assert because(of(texts), newer, "attn", checkout.root) == (f"torch {OLD} -> {NEW}",)


def test_a_suite_is_tied_to_what_it_uses_alone(checkout: Checkout) -> None:
    pin = "{0}=={1} \\\n    --hash=sha256:" + "1" * 64 + "\n"
    before = {**lock_texts(OLD), "probe-cu121-py3.11.txt": pin.format("diffusers", "0.30")}
    after = {
        **before,
        "probe-cu121-py3.11.txt": pin.format("diffusers", "0.31"),
        "dev.txt": pin.format("pytest", "9"),
        "worker-py3.11.txt": pin.format("httpx", "1"),
    }
    state = [checkout.lock(before), checkout.lock(after)]
    pair = [of(each, git=git) for each, git in zip((before, after), state, strict=True)]
    said = {
        suite: because(pair[0], pair[1], suite, checkout.root)
        for suite in ("attn", "unet", "image")
    }
    commits = tuple(str(each.sha)[:12] for each in state)
    assert said == {
        "attn": (f"commit {commits[0]} -> {commits[1]}",),
        "unet": ("diffusers 0.30 -> 0.31",),
        "image": ("httpx - -> 1",),
    }


def test_locks_that_git_does_not_have_are_named_and_not_guessed(checkout: Checkout) -> None:
    checkout.lock(lock_texts(NEW))
    lost = digest(lock_texts("2.5"))
    found = because(timed_run(lock_sha256=lost), of(lock_texts(NEW)), "attn", checkout.root)
    assert found == (f"lockfiles {lost[:12]} of the run before are not in git",)


def test_runs_that_differ_in_nothing_have_no_cause(checkout: Checkout) -> None:
    checkout.lock(lock_texts(OLD))
    assert because(of(lock_texts(OLD)), of(lock_texts(OLD)), "attn", checkout.root) == ()
