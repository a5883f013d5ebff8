"""Each constraint of the web UI's environment, crossed: the resolver says no, or its code does."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts.lock import resolve
from scripts.lock.install import Trial, installed
from scripts.lock.lockfile import Lockfile, pins
from scripts.lock.verify import interpreter
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Target, load
from scripts.workspace.paths import LOCKFILES, ROOT
from tests.support.constraints import FILE, Constraint, constraints

WEBUI = Target(environment="webui", stack="cu121", python="3.11")

# By constraint: what the web UI does that fails beyond it, and how the last line of its traceback
# begins. None where no such environment can be had, because the resolver refuses it.
FAILURES = {
    "setuptools": (
        "import clip",
        (
            "ImportError: cannot import name 'packaging' from 'pkg_resources'",
            "ModuleNotFoundError: No module named 'pkg_resources'",
        ),
    ),
    "protobuf": (
        "from transformers.utils import sentencepiece_model_pb2",
        ("TypeError: Descriptors cannot be created directly.",),
    ),
    "huggingface-hub": (
        "import transformers\n"
        "name = 'openai/clip-vit-large-patch14'\n"
        "transformers.CLIPTokenizer.from_pretrained(name, local_files_only=True)",
        ("TypeError: hf_hub_download() got an unexpected keyword argument 'use_auth_token'",),
    ),
    "runpod": None,
}

each_constraint = pytest.mark.parametrize("constraint", constraints(), ids=lambda each: each.name)
Lock = Callable[..., Lockfile]


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lock:
    """Lock the web UI's environment without one of its constraints."""

    def locked(without: Constraint, also: str = "", whatever: str = "") -> Lockfile:
        """`also` is asked for, and `whatever` anybody else says of the package, it is this."""
        folder = tmp_path / "requirements"
        shutil.copytree(ROOT / "requirements", folder, dirs_exist_ok=True)
        lines = FILE.read_text().splitlines(keepends=True)
        lines.remove(f"{without.line}\n")
        (folder / FILE.name).write_text("".join(lines))
        with (folder / "webui.in").open("a") as file:
            file.write(f"\n{also}\n")
        overrides = tmp_path / "overrides"
        overrides.write_text(whatever)
        workspace = load()
        webui = workspace.environments["webui"]
        copy = webui.model_copy(update={"requirements": str(folder / "webui.in")})
        workspace = workspace.model_copy(update={"environments": {"webui": copy}})
        options = resolve.options
        with monkeypatch.context() as patch:
            patch.setattr(
                resolve, "options", lambda *of: [*options(*of), f"--override={overrides}"]
            )
            (made,) = resolve.compile_all([resolve.job(workspace, WEBUI)], workspace)
        return made

    return locked


def version(lock: Lockfile, name: str) -> str | None:
    return next((pin.version for pin in pins(lock.body) if pin.name == name), None)


def last_lines(lock: Path, folder: Path, *codes: str) -> list[str]:
    """Install a lock; return the last line that each piece of code leaves on stderr, or nothing."""
    python = interpreter("3.11")
    assert python is not None, "Python 3.11 is not on this machine"
    found = []
    with installed(Trial("crossed", (lock,), python, ()), print) as program:
        for code in codes:
            done = subprocess.run(
                [program, "-I", "-B", "-c", code],
                cwd=folder,
                env={"PATH": os.environ["PATH"], "HOME": str(folder), "CUDA_VISIBLE_DEVICES": ""},
                capture_output=True,
                text=True,
            )
            traceback = done.stderr.partition("Traceback (most recent call last):")[2]
            errors = [line for line in traceback.splitlines() if line and line[0] != " "]
            found.append(errors[0] if done.returncode else "")
    return found


@each_constraint
def test_without_its_line_a_package_goes_beyond_or_is_held_by_whom_the_comment_names(
    constraint: Constraint, lock: Lock
) -> None:
    within = Requirement(constraint.line).specifier
    chosen = version(lock(without=constraint), constraint.name)
    if constraint.holder is None:
        assert chosen is not None
        assert not within.contains(chosen)
    else:
        assert chosen is None or within.contains(chosen)
        with pytest.raises(BadInput) as refusal:
            lock(without=constraint, also=constraint.beyond)
        assert f"{constraint.holder}==" in refusal.value.message


@pytest.mark.parametrize("beyond", ["just_beyond", "beyond"])
@each_constraint
def test_the_next_major_version_beyond_a_constraint_fails_and_so_does_the_newest(
    constraint: Constraint, beyond: str, lock: Lock, tmp_path: Path
) -> None:
    failure, crossed = FAILURES[constraint.name], getattr(constraint, beyond)
    if failure is None:
        with pytest.raises(BadInput, match="No solution found"):
            lock(without=constraint, also=constraint.name, whatever=crossed)
        return
    made = lock(without=constraint, also=constraint.name, whatever=crossed)
    chosen = version(made, constraint.name)
    assert chosen is not None
    assert Requirement(constraint.beyond).specifier.contains(chosen)
    file = tmp_path / "lock.txt"
    file.write_text(made.body)
    code, beginnings = failure
    (said,) = last_lines(file, tmp_path, code)
    assert said.startswith(beginnings)


def test_within_the_constraints_none_of_it_fails(tmp_path: Path) -> None:
    codes = [each[0] for each in FAILURES.values() if each is not None]
    clip, protobuf, tokenizer = last_lines(LOCKFILES / f"{WEBUI.name}.txt", tmp_path, *codes)
    assert (clip, protobuf) == ("", "")
    # There is no tokenizer on this disk, and that is all it complains of.
    assert tokenizer.startswith("OSError: Can't load tokenizer")
