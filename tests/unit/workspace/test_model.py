"""workspace.toml: what it says is read, and what is wrong with it is named."""

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from scripts.workspace.errors import BadInput
from scripts.workspace.model import Name, Workspace, load, parse, targets
from scripts.workspace.paths import LOCKFILES, ROOT

TEXT = (ROOT / "workspace.toml").read_text()


def refused(old: str, new: str) -> str:
    assert old in TEXT
    with pytest.raises(BadInput) as failure:
        parse(TEXT.replace(old, new, 1), "workspace.toml")
    assert failure.value.code == 2
    return failure.value.message


def test_the_committed_file_gives_the_targets_that_the_profiles_need() -> None:
    names = {target.name for target in targets(load())}
    assert {"webui-cu121-py3.10", "webui-cu121-py3.11", "worker-py3.10", "worker-py3.11"} <= names
    assert {"tools", "bench"} <= names


def test_records_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().launch.port = 1


def test_an_unknown_key_is_named_with_the_nearest_right_one() -> None:
    said = refused("ready_timeout_s =", "ready_timout_s =")
    assert (
        "workspace.toml: launch.ready_timout_s is no known key. Did you mean ready_timeout_s?"
        in (said.splitlines())
    )


def test_an_unknown_key_deep_in_a_profile_is_named_in_full() -> None:
    assert "profiles.runpod.base.imgae is no known key. Did you mean image?" in refused(
        'base = { image = "python" }', 'base = { imgae = "python" }'
    )


def test_a_missing_key_is_named() -> None:
    assert "workspace.toml: launch.port is missing." in refused("port = 3000\n", "")


def test_a_wrong_type_is_named_with_what_was_given() -> None:
    assert "launch.port: Input should be a valid integer (it is '3000')." in refused(
        "port = 3000", 'port = "3000"'
    )


@pytest.mark.parametrize("port", [0, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    assert "launch.port" in refused("port = 3000", f"port = {port}")


def test_a_stack_that_no_target_uses_is_refused() -> None:
    extra = '[stacks.cu999]\nrequirements = "requirements/stack-cu121.in"\n\n[stacks.cu121]'
    assert "stacks.cu999: no environment uses this stack." in refused("[stacks.cu121]", extra)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('model = "tiny"', 'model = "tinny"', "there is no model tinny. Did you mean tiny?"),
        ('stacks = ["cu121"]', 'stacks = ["c121"]', "there is no stack c121. Did you mean cu121?"),
        ('image = "python"', 'image = "pyton"', "there is no image pyton. Did you mean python?"),
        ('"k-diffusion", "blip"]', '"k-difusion", "blip"]', "Did you mean k-diffusion?"),
        (
            'python = "3.11"\nstack',
            'python = "3.12"\nstack',
            "profiles.sandbox: its stack and python ask for the lock webui",
        ),
        ('extends = "webui"', 'extends = "webiu"', "Did you mean webui?"),
        ('extends = "webui"', 'extends = "sandbox"', "sandbox extends another itself"),
        ('folder = "docker/sandbox"', 'folder = "docker/sandbx"', "docker/sandbx does not exist"),
        (
            '"docker/sandbox/tiny_model.py"',
            '"docker/tiny.py"',
            "generator: docker/tiny.py does not",
        ),
        ('hub = ".runpod/hub.json"', 'hub = "hub.jso"', "runpod.hub: hub.jso does not exist"),
        ('"requirements/worker.in"', '"worker.in"', "worker.requirements: worker.in does not"),
        ('suites = ["attn"', 'suites = ["atn"', "cannot be 'atn'. Did you mean attn?"),
        (", image = 40 }", " }", "bench.budget_s says nothing of the suite image"),
        ('attention = "sdp"', 'attention = "sdpp"', "cannot be 'sdpp'. Did you mean sdp?"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(old: str, new: str, said: str) -> None:
    assert said in refused(old, new)


def test_an_unknown_profile_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"there is no profile sanbox\. Did you mean sandbox"):
        load().profile("sanbox")


def test_toml_that_does_not_parse_is_answered_with_its_line() -> None:
    with pytest.raises(BadInput, match=r"workspace.toml: .*line 2"):
        parse("[lock]\nas_of = \n", "workspace.toml")


@given(cut=st.integers(min_value=0, max_value=len(TEXT)))
def test_a_file_cut_off_anywhere_is_read_or_refused_but_never_a_fault(cut: int) -> None:
    try:
        assert isinstance(parse(TEXT[:cut], "workspace.toml"), Workspace)
    except BadInput as refusal:
        assert "workspace.toml" in refusal.message


def refused_bytes(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(BadInput) as failure:
        load(path)
    assert failure.value.code == 2
    return failure.value.message


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.toml cannot be read: No such file") as failure:
        load(tmp_path / "none.toml")
    assert failure.value.code == 2


def test_a_file_that_is_not_utf8_is_named_with_the_line(tmp_path: Path) -> None:
    said = refused_bytes(tmp_path / "x.toml", b"# one\n# caf\xe9\n" + TEXT.encode())
    assert "x.toml is not UTF-8" in said
    assert "(at line 2)" in said


def with_days(as_of: str, ahead: str = "") -> bytes:
    text = TEXT.replace(f"as_of = {load().lock.as_of}", f"as_of = {as_of}")
    lines = text.splitlines(keepends=True)
    where = next(number for number, line in enumerate(lines) if line.startswith("ahead ="))
    lines[where] = f"ahead = {{{ahead}}}\n"
    return "".join(lines).encode()


def test_days_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(with_days("2026-11-19", "torch = 2026-11-20"))
    assert load(path).lock.as_of == date(2026, 11, 19)
    assert load(path).lock.ahead == {"torch": date(2026, 11, 20)}


@pytest.mark.parametrize(
    ("as_of", "ahead", "said"),
    [
        (
            "2026-11-19",
            "torch = 2026-11-19",
            "lock.ahead.torch: 2026-11-19 is not later than as_of, 2026-11-19.",
        ),
        ("2026-11-19", "torch = 2026-01-01", "lock.ahead.torch: 2026-01-01 is not later than"),
        ("2026-11-19", "Torch = 2026-11-20", "lock.ahead.Torch: String should match"),
        ("2026-11-19", "a_b = 2026-11-20", "lock.ahead.a_b: String should match"),
    ],
)
def test_a_cutoff_that_is_no_fit_is_refused(
    tmp_path: Path, as_of: str, ahead: str, said: str
) -> None:
    answer = refused_bytes(tmp_path / "x.toml", with_days(as_of, ahead))
    assert f"x.toml: {said}" in answer


@pytest.mark.parametrize(
    "table",
    [
        "stacks.cu121",
        "environments.dev",
        "images.python",
        "sources.webui",
        "models.tiny",
        "profiles.sandbox",
    ],
)
@pytest.mark.parametrize("name", ["../verify", ".hidden", "a/b", "", "-x", "a b"])
def test_a_name_that_could_lead_to_another_folder_is_refused(table: str, name: str) -> None:
    kind = table.split(".")[0]
    said = refused(f"[{table}]", f'[{kind}."{name}"]')
    assert f"workspace.toml: {kind}.{name}: String should match pattern" in said


@given(name=st.text() | st.from_regex(r"[a-z0-9_./-]+", fullmatch=True))
def test_a_name_that_is_taken_stays_in_its_folder(name: str) -> None:
    try:
        taken = TypeAdapter(Name).validate_python(name)
    except ValidationError:
        assert not re.fullmatch(r"[a-z0-9]([a-z0-9._-]*)", name)
    else:
        assert (LOCKFILES / taken).resolve().parent == LOCKFILES


@pytest.mark.parametrize("name", ["webui", "worker", "build", "tools", "verify"])
def test_an_environment_that_the_programs_ask_for_is_required(name: str) -> None:
    said = refused(f"[environments.{name}]", f"[environments.{name}s]")
    assert re.search(rf"there is no (universal )?environment {name}\. Did you mean {name}s\?", said)


def test_the_environment_of_build_dependencies_has_one_lock() -> None:
    said = refused(
        'requirements = "requirements/build.in"\nuniversal = true',
        'requirements = "requirements/build.in"',
    )
    assert "environments: there is no universal environment build." in said


@pytest.mark.parametrize("pythons", ['"3.11", "3.10"', '"3.10", "3.9"', '"3.11", "3.11"'])
def test_the_pythons_of_an_environment_begin_with_the_oldest(pythons: str) -> None:
    said = refused(PYTHONS, f"pythons = [{pythons}]")
    assert "pythons" in said
    assert "must be the oldest first, and each once" in said


def test_two_environments_that_give_a_lock_of_one_name_are_refused() -> None:
    """`webui` gives webui-cu121-py3.11 by its stack, and the other one by its name."""
    other = '[environments.webui-cu121]\nrequirements = "requirements/worker.in"\n'
    other += 'imports = ["runpod"]\npythons = ["3.11"]\n\n[environments.tools]'
    said = refused("[environments.tools]", other)
    assert "environments: 2 of them give a lock of the name webui-cu121-py3.11." in said


EXTENDED = 'requirements = "requirements/webui.in"\nstacks = ["cu121", "cu128"]'
PYTHONS = 'pythons = ["3.10", "3.11"]'
PROBE = 'requirements = "requirements/probe.in"\nextends = "webui"\nstacks = ["cu121", "cu128"]'


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        (EXTENDED, EXTENDED.replace(', "cu128"', ""), "webui-cu128-py3.10"),
        (
            f'{PROBE}\npythons = ["3.10", "3.11"]',
            f'{PROBE}\npythons = ["3.12"]',
            "webui-cu121-py3.12",
        ),
        (PROBE, PROBE.replace('\nstacks = ["cu121", "cu128"]', ""), "webui-py3.10"),
        (PROBE, f"{PROBE}\nuniversal = true", "webui-cu121"),
    ],
)
def test_an_environment_needs_every_lock_that_its_own_extend(
    old: str, new: str, missing: str
) -> None:
    upper = missing.replace("webui", "probe")
    assert (
        f"workspace.toml: environments.probe.extends: no environment gives the lock {missing}, "
        f"which {upper} extends."
    ) in refused(old, new).splitlines()
