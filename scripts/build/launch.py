"""The start of the web UI as data: launch.json, which the supervisor in the image reads."""

import json

from scripts.bench.advise import auto
from scripts.workspace.model import Optimization, Workspace

# The flag that selects each optimization in AUTOMATIC1111 (modules/shared_items and cmd_args).
FLAGS: dict[Optimization, tuple[str, ...]] = {
    # Both: where xformers cannot run, the web UI takes the next that has a flag.
    "xformers": ("--xformers", "--opt-sdp-attention"),
    "sdp": ("--opt-sdp-attention",),
    "sdp-no-mem": ("--opt-sdp-no-mem-attention",),
    "sub-quad": ("--opt-sub-quad-attention",),
    "split-v1": ("--opt-split-attention-v1",),
    "split-invokeai": ("--opt-split-attention-invokeai",),
    "doggettx": ("--opt-split-attention",),
    "none": ("--disable-opt-split-attention",),
}
# All that the web UI writes is below this folder: the root file system may be read-only.
DATA = "/tmp/webui"


def render(workspace: Workspace, profile: str) -> str:
    """Return the launch.json of a profile."""
    launch = workspace.launch
    chosen = workspace.profile(profile)
    checkpoint = workspace.models[chosen.model].checkpoint
    made = {
        "python": "/opt/webui/bin/python",
        "cwd": "/srv/webui",
        "argv": [
            "webui.py",
            "--port",
            str(launch.port),
            # The API answers whoever reaches it: only the handler beside it may.
            "--server-name",
            "127.0.0.1",
            "--ckpt",
            f"/models/{checkpoint}",
            "--data-dir",
            DATA,
            "--ui-settings-file",
            f"{DATA}/settings.json",
            *FLAGS[auto.resolved(workspace, profile).option],
            *launch.options,
            *chosen.options,
        ],
        "env": {},
        "preload": ["libtcmalloc_minimal.so.4"],
        "url": f"http://127.0.0.1:{launch.port}",
        "ready_timeout_s": launch.ready_timeout_s,
        "stop_timeout_s": launch.stop_timeout_s,
        "warmup": {
            "prompt": "",
            "steps": 1,
            "width": 64,
            "height": 64,
            "sampler_name": "Euler",
        },
    }
    return json.dumps(made, indent=2) + "\n"
