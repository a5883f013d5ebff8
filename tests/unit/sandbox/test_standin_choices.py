"""What the stand-in makes of flags and settings, by the web UI's rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standin.arguments import ATTENTION, parse
from standin.optimizers import OPTIMIZERS, Device, available, choose
from standin.samplers import BY_NAME, SAMPLERS, settings

CPU = Device()
HOPPER = Device(cuda=True, capability=(9, 0), xformers=True)
BLACKWELL = Device(cuda=True, capability=(12, 0), xformers=True)
# The command line of the image's launch.json.
LAUNCH = [
    *("--skip-python-version-check", "--skip-torch-cuda-test", "--skip-install"),
    *("--ckpt", "/models/tiny.safetensors", "--opt-sdp-attention", "--port", "3000"),
    *("--server-name", "127.0.0.1", "--api", "--nowebui", "--skip-version-check"),
    *("--no-hashing", "--no-download-sd-model", "--data-dir", "/tmp/webui"),
    *("--ui-settings-file", "/tmp/webui/settings.json", "--use-cpu", "all", "--no-half"),
]


def chosen(selection: str, device: Device, *flags: str) -> str | None:
    """The name of the optimization for a setting, a device and flags without their dashes."""
    found = choose(selection, device, frozenset(flag.replace("-", "_") for flag in flags))
    return None if found is None else found.name


def test_the_command_line_of_the_image_is_understood_whole() -> None:
    """Nothing of it is ignored."""
    arguments = parse(LAUNCH)
    assert arguments.ignored == ()
    assert arguments.checkpoint == Path("/models/tiny.safetensors")
    assert (arguments.server_name, arguments.port) == ("127.0.0.1", 3000)
    assert arguments.settings_file == Path("/tmp/webui/settings.json")
    assert arguments.attention == {"opt_sdp_attention"}
    assert arguments.use_cpu
    assert arguments.no_half
    assert arguments.no_hashing


def test_flags_of_the_web_ui_that_nothing_here_knows_are_passed_over() -> None:
    """They are reported, with their values, and do not disturb the others."""
    arguments = parse(["--medvram", "--theme", "dark", "--port", "1", "--opt", "--no-half"])
    assert arguments.ignored == ("--medvram", "--theme", "dark", "--opt")
    assert (arguments.port, arguments.no_half) == (1, True)


@pytest.mark.parametrize("words", [["--port", "many"], ["--api-auth", "nobody"], ["--ckpt"]])
def test_a_known_flag_with_a_bad_value_is_wrong_usage(words: list[str]) -> None:
    """Exit code 2."""
    with pytest.raises(SystemExit) as caught:
        parse(words)
    assert caught.value.code == 2


def test_credentials_may_hold_colons() -> None:
    """Only the first colon separates."""
    arguments = parse(["--api-auth", "me:a:b,you:c"])
    assert arguments.api_auth == (("me", "a:b"), ("you", "c"))


def test_the_settings_file_follows_the_data_folder() -> None:
    """As config.json, unless it is named."""
    assert parse(["--data-dir", "/tmp/x"]).settings_file == Path("/tmp/x/config.json")


def test_titles_are_those_of_the_web_ui() -> None:
    """The values that `cross_attention_optimization` takes."""
    assert {optimizer.title for optimizer in OPTIMIZERS} == {
        "xformers",
        "sdp-no-mem - scaled dot product without memory efficient attention",
        "sdp - scaled dot product",
        "sub-quadratic",
        "V1 - original v1",
        "InvokeAI",
        "Doggettx",
    }


def test_each_attention_flag_is_one_that_is_parsed() -> None:
    """So that no optimization waits for a flag that cannot be given."""
    parsed = {flag[2:].replace("-", "_") for flag in ATTENTION}
    assert {optimizer.flag for optimizer in OPTIMIZERS} <= parsed


@pytest.mark.parametrize(
    ("device", "flags", "name"),
    [
        (HOPPER, ["xformers", "opt-sdp-attention"], "xformers"),
        (BLACKWELL, ["xformers", "opt-sdp-attention"], "sdp"),
        (CPU, ["xformers", "opt-sdp-attention"], "sdp"),
        (HOPPER, ["opt-sdp-attention", "opt-sdp-no-mem-attention"], "sdp-no-mem"),
        (HOPPER, ["opt-split-attention-v1", "opt-sub-quad-attention"], "sub-quadratic"),
        (BLACKWELL, ["force-enable-xformers"], "xformers"),
        (CPU, ["force-enable-xformers"], "InvokeAI"),
        (HOPPER, [], "Doggettx"),
        (CPU, [], "InvokeAI"),
        (HOPPER, ["opt-split-attention-invokeai"], "InvokeAI"),
        (HOPPER, ["xformers", "disable-opt-split-attention"], None),
    ],
)
def test_automatic_follows_flags_by_priority(
    device: Device, flags: list[str], name: str | None
) -> None:
    """The first available one that a flag asks for, or else the first available one."""
    assert chosen("Automatic", device, *flags) == name


def test_a_title_wins_over_flags() -> None:
    """And `None` is no optimization, while a flag that disables them binds only `Automatic`."""
    assert chosen("V1 - original v1", HOPPER, "xformers") == "V1"
    assert chosen("None", HOPPER, "xformers") is None
    assert chosen("Doggettx", CPU, "disable-opt-split-attention") == "Doggettx"


def test_a_title_that_cannot_be_had_gives_the_first_available() -> None:
    """Xformers without its flag, and a title that does not exist."""
    assert chosen("xformers", HOPPER) == "Doggettx"
    assert chosen("xformers", CPU) == "InvokeAI"
    assert chosen("sdp", HOPPER, "opt-sdp-attention") == "Doggettx"


devices = st.builds(
    Device,
    cuda=st.booleans(),
    capability=st.one_of(st.none(), st.tuples(st.integers(5, 13), st.integers(0, 9))),
    xformers=st.booleans(),
)
flag_sets = st.frozensets(st.sampled_from([flag[2:].replace("-", "_") for flag in ATTENTION]))


@given(st.text(), devices, flag_sets)
def test_only_what_is_available_is_ever_chosen(
    selection: str, device: Device, flags: frozenset[str]
) -> None:
    """For any setting, device and flags; and the offer is sorted by preference."""
    offered = available(device, flags)
    assert choose(selection, device, flags) in [*offered, None]
    assert [-found.rank(device) for found in offered] == sorted(
        -found.rank(device) for found in offered
    )


def test_the_scheduler_suffix_is_part_of_no_sampler_name() -> None:
    """As in web UI v1.9.3: `DPM++ 2M Karras` is not found."""
    assert "DPM++ 2M" in BY_NAME
    assert "DPM++ 2M Karras" not in BY_NAME
    assert len(BY_NAME) == len(SAMPLERS)


def test_schedules_apply_where_they_can() -> None:
    """DPM++ 2M is spaced after Karras by itself, Euler when asked, DDIM never."""

    def karras(name: str, schedule: str | None) -> object:
        return settings(BY_NAME[name], schedule, 20).get("use_karras_sigmas")

    assert karras("DPM++ 2M", None) is True
    assert karras("DPM++ 2M", "Uniform") is False
    assert karras("Euler", "Automatic") is False
    assert karras("Euler", "Karras") is True
    assert karras("DDIM", "Karras") is None


def test_a_single_step_begins_at_full_noise() -> None:
    """Where diffusers' even spacing of one step would begin at the other end."""
    for sampler in SAMPLERS:
        spacing = settings(sampler, None, 1).get("timestep_spacing")
        assert spacing != "linspace", sampler.name
        assert sampler.settings.get("timestep_spacing") in (None, "linspace")
