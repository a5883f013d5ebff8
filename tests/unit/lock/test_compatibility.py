"""Static compatibility: each warning appears where it should and vanishes when it is heeded."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.advise import auto
from scripts.lock import facts, hub
from scripts.lock.compatibility import check, warnings
from scripts.lock.facts import Binary, Facts, Reach, Version, Wheel, binary, version
from scripts.lock.hub import Hub, targets
from scripts.lock.lockfile import locked
from scripts.workspace.errors import BadInput
from scripts.workspace.model import Attention, Optimization, Workspace, load
from scripts.workspace.model import targets as lock_targets
from scripts.workspace.paths import ROOT

FACTS = facts.load()
CU121 = {"torch": "2.1.2", "xformers": "0.0.23.post1"}
CU128 = {"torch": "2.8.0", "xformers": "0.0.32.post2"}
NEWEST = max(FACTS.runpod.cuda)
VERSIONS = st.builds(Version, st.integers(0, 30), st.integers(0, 30))
CU130 = {"torch": "9.9.9", "xformers": "0.0.32.post2"}


def since(text: str) -> tuple[Version, ...]:
    """The CUDA versions of RunPod's hosts from this one on."""
    return tuple(each for each in FACTS.runpod.cuda if each >= version(text))


def made(gpu_ids: str, *cuda: Version) -> Hub:
    return Hub("hub.json", targets(gpu_ids, "hub.json", FACTS), cuda)


def workspace(attention: Attention) -> Workspace:
    read = load()
    profile = read.profile("runpod").model_copy(update={"attention": attention})
    return read.model_copy(update={"profiles": {"runpod": profile}})


def warned(
    versions: Mapping[str, str],
    listing: Hub,
    attention: Attention = "xformers",
    known: Facts = FACTS,
) -> list[str]:
    found = warnings(workspace(attention), "runpod", versions, listing, known)
    prefix = "profile runpod, stack cu121: "
    assert all(each.startswith(prefix) for each in found)
    return [each.removeprefix(prefix) for each in found]


def with_wheel(
    package: str, number: str, *, code: list[str], ptx: list[str], cuda: str = "12.8"
) -> Facts:
    """The facts with a made-up wheel."""
    wheel = Wheel.model_validate({"cuda": cuda, "binary": code, "ptx": ptx, "source": "made up"})
    return FACTS.model_copy(update={package: {**getattr(FACTS, package), number: wheel}})


# The committed files.


def test_the_committed_profiles_give_no_warning() -> None:
    assert check(load()) == []


def test_the_committed_profile_for_runpod_has_targets() -> None:
    path = load().profile("runpod").hub
    assert path is not None
    listing = hub.read(ROOT / path, FACTS)
    assert listing.gpus
    assert listing.cuda


def test_the_facts_know_the_torch_and_xformers_of_every_committed_lock() -> None:
    locks = [each for each in lock_targets(load()) if each.environment == "webui"]
    assert locks
    for target in locks:
        versions = {pin.name: pin.version for pin in locked(target.name)}
        assert versions["torch"] in FACTS.torch
        assert versions["xformers"] in FACTS.xformers


def test_every_gpu_of_a_pool_has_a_compute_capability_and_no_other_has() -> None:
    assert {gpu for gpus in FACTS.pools.values() for gpu in gpus} == FACTS.gpus.keys()


def test_every_wheel_has_the_drivers_of_its_cuda_and_a_source() -> None:
    for wheel in (*FACTS.torch.values(), *FACTS.xformers.values()):
        assert wheel.cuda in FACTS.full_driver
        assert str(wheel.cuda.major) in FACTS.least_driver
        assert wheel.source


# A slip in the facts.


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('ptx = ["8.0"]', 'pxt = ["8.0"]', "xformers.0.0.32.post2.pxt: "),
        ('ptx = ["8.0"]', 'pxt = ["8.0"]', "xformers.0.0.32.post2.ptx: "),
        ('"12.8" = "570.26"', '"12-8" = "570.26"', "full_driver.12-8.[key]: "),
        ('"12" = "525.60.13"', '"12" = 525', "least_driver.12: "),
        ("[least_driver]", "[last_driver]", "last_driver: "),
        ('"12.0" = "12.8"', '"12.0" = "12"', "'12' is not of the form 12.8."),
        ("[webui]", "[webui", "line "),
        ('"NVIDIA H200" =', '"NVIDIA H20" =', "gpus has no row for NVIDIA H200."),
    ],
)
def test_a_slip_in_the_facts_is_named_by_its_file_and_key(
    right: str, wrong: str, said: str
) -> None:
    text = facts.FILE.read_text()
    assert text.count(right) == 1
    with pytest.raises(BadInput) as refused:
        facts.parse(text.replace(right, wrong), "facts.toml")
    assert all(line.startswith("facts.toml: ") for line in refused.value.message.splitlines())
    assert said in refused.value.message


def test_a_slip_in_the_committed_facts_is_not_a_traceback_of_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text(facts.FILE.read_text().replace("[runpod]", "[runpot]"))
    monkeypatch.setattr(facts, "FILE", broken)
    facts.load.cache_clear()
    with pytest.raises(BadInput, match=r"broken\.toml: runpod: Field required\."):
        check(load())


# What runs where.


@pytest.mark.parametrize(
    ("package", "number", "gpu", "reach"),
    [
        ("torch", "2.1.2", "9.0", Reach.NATIVE),
        ("torch", "2.1.2", "8.9", Reach.NATIVE),
        ("torch", "2.1.2", "12.0", Reach.NONE),
        ("torch", "2.8.0", "12.0", Reach.NATIVE),
        ("torch", "2.8.0", "6.1", Reach.NONE),
        ("xformers", "0.0.23.post1", "9.0", Reach.NATIVE),
        ("xformers", "0.0.23.post1", "12.0", Reach.COMPILED),
        ("xformers", "0.0.32.post2", "9.0", Reach.NATIVE),
        ("xformers", "0.0.32.post2", "10.0", Reach.COMPILED),
        ("xformers", "0.0.32.post2", "7.0", Reach.NONE),
    ],
)
def test_the_wheels_of_the_stacks_run_on_the_gpus_that_they_have_code_for(
    package: str, number: str, gpu: str, reach: Reach
) -> None:
    assert getattr(FACTS, package)[number].reach(version(gpu)) is reach


@given(code=VERSIONS, gpu=VERSIONS)
def test_machine_code_runs_on_its_own_major_from_its_own_minor_on(
    code: Version, gpu: Version
) -> None:
    runs = Binary(code, alone=False).runs_on(gpu)
    assert runs == (gpu.major == code.major and gpu.minor >= code.minor)
    assert Binary(code, alone=True).runs_on(gpu) == (gpu == code)


@given(codes=st.lists(VERSIONS), ptx=st.lists(VERSIONS), gpu=VERSIONS)
def test_ptx_is_compiled_for_the_same_and_later_gpus_where_there_is_no_machine_code(
    codes: list[Version], ptx: list[Version], gpu: Version
) -> None:
    wheel = Wheel.model_validate(
        {
            "cuda": "12.8",
            "binary": [str(code) for code in codes],
            "ptx": [str(code) for code in ptx],
            "source": "made up",
        }
    )
    reach = wheel.reach(gpu)
    native = any(Binary(code, alone=False).runs_on(gpu) for code in codes)
    assert (reach is Reach.NATIVE) == native
    assert (reach is Reach.NONE) == (not native and not any(code <= gpu for code in ptx))


@given(each=VERSIONS, alone=st.booleans())
def test_what_is_written_is_read_back(each: Version, alone: bool) -> None:
    assert version(str(each)) == each
    assert binary(str(Binary(each, alone))) == Binary(each, alone)


@given(text=st.text(alphabet="0123456789.a-+ \n\u0662", max_size=6))
def test_a_version_is_two_plain_numbers_or_refused(text: str) -> None:
    try:
        assert str(version(text)) == text
    except ValueError as refusal:
        assert repr(text) in str(refusal)


def test_versions_are_ordered_by_number_and_not_by_letter() -> None:
    assert version("12.9") < version("12.10") < version("13.0")


# torch and the GPUs.


def test_torch_without_code_for_blackwell_is_warned_of_with_the_torch_that_has_it() -> None:
    (said,) = warned(CU121, made("ADA_24,BLACKWELL_96", *since("12.1")))
    assert "torch 2.1.2 has no code for BLACKWELL_96 (compute capability 12.0)" in said
    assert "the worker never gets ready" in said
    assert "Take BLACKWELL_96 out of gpuIds in hub.json" in said
    assert "(torch 2.8.0 has)" in said
    assert warned(CU121, made("ADA_24", *since("12.1"))) == []


def test_hopper_runs_the_machine_code_of_the_stack_of_cuda_12_1() -> None:
    assert warned(CU121, made("ADA_80_PRO,HOPPER_141", *since("12.1"))) == []


@pytest.mark.parametrize("cuda", [(), since("11.8"), since("12.1"), (version("12.1"),)])
def test_where_torch_does_not_run_nothing_is_said_of_xformers_and_hosts(
    cuda: tuple[Version, ...],
) -> None:
    (said,) = warned(CU121, made("BLACKWELL_180", *cuda))
    assert said.startswith("torch 2.1.2 has no code")


def test_torch_that_is_compiled_from_ptx_is_warned_of_as_slow() -> None:
    known = with_wheel("torch", "9.9.9", code=["8.0"], ptx=["9.0"])
    versions = {"torch": "9.9.9", "xformers": "0.0.32.post2"}
    (said,) = warned(versions, made("HOPPER_141", *since("12.8")), known=known)
    assert "torch 9.9.9 has only PTX for HOPPER_141 (compute capability 9.0)" in said
    assert "first images are slow" in said
    known = with_wheel("torch", "9.9.9", code=["8.0", "9.0"], ptx=["9.0"])
    assert warned(versions, made("HOPPER_141", *since("12.8")), known=known) == []


def test_a_part_of_a_pool_is_named_by_its_gpus_and_taken_out_with_a_minus() -> None:
    known = with_wheel("torch", "9.9.9", code=["8.9"], ptx=[])
    listing = made("AMPERE_24", *since("12.8"))
    versions = {"torch": "9.9.9", "xformers": "0.0.32.post2"}
    (said,) = warned(versions, listing, known=known)
    assert (
        "NVIDIA RTX A5000 and NVIDIA GeForce RTX 3090 of AMPERE_24 (compute capability 8.6)" in said
    )
    assert 'Add "-NVIDIA RTX A5000", "-NVIDIA GeForce RTX 3090" to gpuIds in hub.json' in said
    heeded = made("AMPERE_24,-NVIDIA RTX A5000,-NVIDIA GeForce RTX 3090", *since("12.8"))
    assert warned(versions, heeded, known=known) == []


# xformers and the web UI.


def test_xformers_beyond_the_web_uis_range_is_warned_of_as_sdp() -> None:
    listing = made("BLACKWELL_96,ADA_32_PRO,HOPPER_141", *since("12.8"))
    (said,) = warned(CU128, listing)
    assert "on compute capability 6.0 to 9.0 alone" in said
    assert "on BLACKWELL_96 (compute capability 12.0), ADA_32_PRO" in said
    assert "it runs sdp" in said
    assert warned(CU128, listing, "sdp") == []
    assert warned(CU128, made("HOPPER_141", *since("12.8"))) == []


def test_xformers_without_code_where_the_web_ui_uses_it_is_warned_of_as_failing() -> None:
    known = with_wheel("xformers", "9.9.9", code=["8.0"], ptx=[])
    versions = {"torch": "2.8.0", "xformers": "9.9.9"}
    (said,) = warned(versions, made("HOPPER_141,ADA_24", *since("12.8")), known=known)
    assert "xformers 9.9.9 has no code for HOPPER_141 (compute capability 9.0)" in said
    assert "every image fails" in said
    assert warned(versions, made("ADA_24", *since("12.8")), known=known) == []
    assert warned(versions, made("HOPPER_141", *since("12.8")), "sdp", known) == []


def test_xformers_that_is_compiled_from_ptx_is_warned_of_as_slow() -> None:
    known = with_wheel("xformers", "9.9.9", code=["8.0"], ptx=["8.0"])
    versions = {"torch": "2.8.0", "xformers": "9.9.9"}
    (said,) = warned(versions, made("HOPPER_141", *since("12.8")), known=known)
    assert "xformers 9.9.9 has only PTX for HOPPER_141" in said
    assert warned(versions, made("AMPERE_80", *since("12.8")), known=known) == []


# The drivers of the hosts.


def test_hosts_with_a_driver_of_an_older_major_are_warned_of() -> None:
    (said,) = warned(CU121, made("ADA_24", version("11.8"), *since("12.1")))
    assert "config.allowedCudaVersions in hub.json allows hosts with CUDA 11.8" in said
    assert "needs a driver for CUDA 12 (525.60.13 or newer)" in said
    assert said.endswith("Take it out.")


def test_hosts_with_an_older_driver_of_the_same_major_run_machine_code() -> None:
    assert warned(CU121, made("ADA_24", *since("12.0"))) == []
    assert warned(CU128, made("ADA_24", *since("12.0"))) == []


def test_hosts_whose_driver_cannot_compile_the_ptx_that_a_gpu_needs_are_warned_of() -> None:
    known = with_wheel("xformers", "9.9.9", code=["8.0"], ptx=["8.0"])
    versions = {"torch": "2.1.2", "xformers": "9.9.9"}
    slow, failing = warned(versions, made("HOPPER_141", *since("12.1")), known=known)
    assert "has only PTX" in slow
    assert "CUDA 12.1, 12.2, 12.3, 12.4, 12.5, 12.6, 12.7, whose drivers do not compile" in failing
    assert "PTX of CUDA 12.8 (that takes 570.26 or newer)" in failing
    assert "every image fails there. Take them out." in failing
    # A host that is too old for the stack is named for that alone.
    _, old, same = warned(versions, made("HOPPER_141", *since("11.8")), known=known)
    assert "11.8" in old
    assert same == failing.replace("CUDA 12.1, ", "CUDA 12.0, 12.1, ")
    # Nothing is compiled on a GPU with machine code, nor when xformers is not used.
    assert warned(versions, made("ADA_24", *since("12.1")), known=known) == []
    assert warned(versions, made("HOPPER_141", *since("12.1")), "sdp", known) == []


def test_a_list_without_the_newer_drivers_is_warned_of_because_it_is_no_minimum() -> None:
    listed = [each for each in since("12.1") if each < version("12.9")]
    (said,) = warned(CU121, made("ADA_24", *listed))
    assert f"leaves out hosts with CUDA 12.9, 13.0, 13.1, 13.2, {NEWEST}" in said
    assert "not a minimum" in said
    assert warned(CU121, made("ADA_24", *listed, *since("12.9"))) == []


def test_drivers_that_no_target_gpu_can_have_are_not_missed() -> None:
    listing = made("BLACKWELL_180", *since("12.8"))
    assert warned(CU128, listing, "sdp") == []
    assert "CUDA 12.8" in warned(CU128, made("BLACKWELL_180", *since("12.9")), "sdp")[0]


def test_no_list_at_all_is_warned_of_with_the_list_to_give() -> None:
    (said,) = warned(CU128, made("ADA_24"))
    assert "hub.json has no config.allowedCudaVersions" in said
    assert f"List CUDA {', '.join(str(each) for each in since('12.8'))}." in said


def test_a_gpu_that_no_allowed_host_can_have_is_warned_of() -> None:
    listing = made("BLACKWELL_96,ADA_24", version("12.6"), version("12.7"))
    late, lost = warned(CU128, listing, "sdp")
    assert "ends with 12.7, but hosts with BLACKWELL_96" in late
    assert "no worker starts there" in late
    assert "take BLACKWELL_96 out of gpuIds" in late
    assert "leaves out hosts with CUDA 12.8" in lost


def test_a_cuda_version_that_no_host_has_is_warned_of() -> None:
    (said,) = warned(CU121, made("ADA_24", *since("12.1"), version("12.10")))
    assert "names CUDA 12.10, which no host of RunPod has" in said


# What is not known.


def test_a_torch_that_the_facts_do_not_know_is_said_and_not_passed_over() -> None:
    versions = {"torch": "2.99.0", "xformers": "0.0.32.post2"}
    (said,) = warned(versions, made("BLACKWELL_96", *since("12.8")))
    assert "torch 2.99.0 is not in scripts/lock/compatibility.toml" in said
    assert "Add its row" in said


@pytest.mark.parametrize("attention", ["xformers", "sdp"])
def test_an_xformers_that_the_facts_do_not_know_is_said_and_not_passed_over(
    attention: Attention,
) -> None:
    versions = {"torch": "2.8.0", "xformers": "0.99.0"}
    (said,) = warned(versions, made("ADA_24", *since("12.8")), attention)
    assert "xformers 0.99.0 is not in scripts/lock/compatibility.toml" in said


def test_a_torch_of_cuda_13_says_the_driver_that_it_needs() -> None:
    known = with_wheel("torch", "9.9.9", code=["8.0"], ptx=[], cuda="13.0")
    (said,) = warned(CU130, made("ADA_24", *since("12.8")), known=known)
    assert "needs a driver for CUDA 13 (580 or newer)" in said
    assert said.endswith("Take them out.")
    assert warned(CU130, made("ADA_24", *since("13.0")), known=known) == []


@pytest.mark.parametrize("cuda", [(), since("12.8")])
def test_a_torch_whose_cuda_has_no_driver_in_the_facts_is_warned_of_with_the_row_to_add(
    cuda: tuple[Version, ...],
) -> None:
    known = with_wheel("torch", "9.9.9", code=["8.0"], ptx=[], cuda="14.0")
    said = warned(CU130, made("ADA_24", *cuda), known=known)[0]
    assert (
        "needs a driver for CUDA 14 (one that scripts/lock/compatibility.toml does not know" in said
    )
    assert "add its row to least_driver" in said


def test_a_torch_for_a_cuda_that_no_host_has_is_not_answered_with_an_empty_list() -> None:
    known = with_wheel("torch", "9.9.9", code=["8.0"], ptx=[], cuda="14.0")
    (said,) = warned(CU130, made("ADA_24"), known=known)
    assert "No host of RunPod has one by scripts/lock/compatibility.toml" in said
    assert "List CUDA" not in said


def test_ptx_whose_cuda_has_no_driver_in_the_facts_is_warned_of_with_the_row_to_add() -> None:
    known = with_wheel("torch", "9.9.9", code=[], ptx=["8.0"], cuda="13.1")
    _, failing = warned(CU130, made("HOPPER_141", *since("13.0")), known=known)
    assert (
        "CUDA 13.0, whose drivers do not compile PTX of CUDA 13.1 (that takes one that" in failing
    )
    assert "compatibility.toml does not know: add its row to full_driver" in failing


@given(
    cuda=VERSIONS,
    ptx=st.booleans(),
    hosts=st.lists(st.sampled_from(FACTS.runpod.cuda), unique=True),
    attention=st.sampled_from(["xformers", "sdp"]),
)
def test_a_wheel_of_any_cuda_is_judged_without_a_fault(
    cuda: Version, ptx: bool, hosts: list[Version], attention: Attention
) -> None:
    code, also = ([], ["8.0"]) if ptx else (["8.0", "9.0"], [])
    known = with_wheel("torch", "9.9.9", code=code, ptx=also, cuda=str(cuda))
    said = warned(CU130, made("HOPPER_141", *hosts), attention, known)
    assert any("torch 9.9.9 has only PTX" in each for each in said) == ptx


def test_a_lock_without_torch_or_xformers_is_said_and_not_passed_over() -> None:
    assert warned({}, made("ADA_24", *since("12.8"))) == [
        "the lock has no torch, so nothing can be said of where it runs.",
        "the lock has no xformers, so nothing can be said of where it runs.",
    ]


# Any listing.

POOLS = st.lists(st.sampled_from(sorted(FACTS.pools)), min_size=1, unique=True)
CUDA = st.lists(st.sampled_from(FACTS.runpod.cuda), unique=True)


@given(
    pools=POOLS,
    cuda=CUDA,
    versions=st.sampled_from([CU121, CU128]),
    attention=st.sampled_from(["xformers", "sdp", "doggettx"]),
)
def test_there_is_a_warning_exactly_when_something_does_not_fit(
    pools: list[str], cuda: list[Version], versions: dict[str, str], attention: Attention
) -> None:
    listing = made(",".join(pools), *cuda)
    torch = FACTS.torch[versions["torch"]]
    gpus = [FACTS.gpus[gpu] for ids in listing.gpus.values() for gpu in ids]
    fits = (
        all(torch.reach(gpu) is Reach.NATIVE for gpu in gpus)
        and all(host >= Version(12, 0) for host in cuda)
        and all(
            host in cuda
            for host in FACTS.runpod.cuda
            if host >= torch.cuda
            and any(gpu < Version(10, 0) or host >= version("12.8") for gpu in gpus)
        )
        and (attention != "xformers" or all(gpu <= Version(9, 0) for gpu in gpus))
    )
    assert (warned(versions, listing, attention) == []) == fits


@pytest.mark.parametrize("option", ["xformers", "sdp"])
def test_auto_is_warned_about_as_the_option_that_it_comes_to(
    option: Optimization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "chosen", lambda *_: auto.Chosen(option, "a result"))
    listing = made("BLACKWELL_180", *since("12.8"))
    assert warned(CU128, listing, "auto") == warned(CU128, listing, option)
    assert warned(CU128, listing, "xformers") != warned(CU128, listing, "sdp")
