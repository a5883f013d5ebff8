"""launch.json: what workspace.toml asks for, in the words of the web UI and of the supervisor."""

import json

import pytest

from launch import Launch as WorkerLaunch
from scripts.build import launch
from scripts.workspace.model import Attention, Optimization, Workspace, load


def rendered(profile: str, attention: Attention = "sdp") -> WorkerLaunch:
    workspace = load()
    chosen = workspace.profile(profile).model_copy(update={"attention": attention})
    changed: Workspace = workspace.model_copy(update={"profiles": {profile: chosen}})
    return WorkerLaunch.model_validate(json.loads(launch.render(changed, profile)))


@pytest.mark.parametrize("profile", ["sandbox", "runpod"])
def test_the_supervisor_reads_what_is_rendered(profile: str) -> None:
    assert rendered(profile).python == "/opt/webui/bin/python"


def test_the_web_ui_listens_on_loopback() -> None:
    argv = rendered("sandbox").argv
    assert argv[argv.index("--server-name") + 1] == "127.0.0.1"


@pytest.mark.parametrize("attention", launch.FLAGS)
def test_each_attention_has_its_flag(attention: Optimization) -> None:
    argv = rendered("sandbox", attention).argv
    assert all(flag in argv for flag in launch.FLAGS[attention])
    others = {flag for flags in launch.FLAGS.values() for flag in flags}
    assert others & set(argv) == set(launch.FLAGS[attention])


def test_the_checkpoint_is_the_models_own() -> None:
    argv = rendered("runpod").argv
    assert argv[argv.index("--ckpt") + 1] == "/models/Deliberate_v6.safetensors"


def test_the_deployed_worker_takes_xformers_and_sdp_where_that_cannot_run() -> None:
    argv = json.loads(launch.render(load(), "runpod"))["argv"]
    assert {"--xformers", "--opt-sdp-attention"} <= set(argv)
