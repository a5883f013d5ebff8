"""The web UI's API on loopback: the few calls that suite `image` needs. Standard library only."""

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .image_plan import Pictures
from .records import progress

LAUNCH = Path("/app/launch.json")
DEFAULT_URL = "http://127.0.0.1:3000"
POLL_S = 0.5
REQUEST_S = 600.0
SMALLEST = Pictures(64, 1)

TITLES = {
    "sdp": "sdp - scaled dot product",
    "sdp-no-mem": "sdp-no-mem - scaled dot product without memory efficient attention",
    "xformers": "xformers",
    "Doggettx": "Doggettx",
    "sub-quadratic": "sub-quadratic",
    "V1": "V1 - original v1",
    "InvokeAI": "InvokeAI",
    "naive": "None",
}
"""Values of the web UI's option cross_attention_optimization (its own titles)."""


class Refused(Exception):
    """The web UI answered with an error; the text is its own."""


def launch_record() -> dict[str, Any]:
    """/app/launch.json, or nothing where there is none (a web UI started by hand)."""
    if not LAUNCH.exists():
        return {}
    loaded: dict[str, Any] = json.loads(LAUNCH.read_text(encoding="utf-8"))
    return loaded


class Api:
    """The few calls of the web UI's API that are needed."""

    def __init__(self, url: str) -> None:
        """Take the URL without a path."""
        self.url = url.rstrip("/")

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """GET /sdapi/v1/`path`, or POST `body` to it. Raises Refused with what it answered."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/sdapi/v1/{path}", data=data, headers={"Content-Type": "application/json"}
        )
        try:
            # The URL is loopback's, from launch.json; no proxy must come between.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=REQUEST_S) as reply:
                return json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            text = " ".join(error.read().decode(errors="replace").split())
            raise Refused(f"HTTP {error.code} from {path}: {text[:400]}") from None

    def select(self, title: str) -> str | None:
        """Switch the attention optimization; return what the options then hold."""
        wanted = {"cross_attention_optimization": title, "live_previews_enable": False}
        self.ask("options", wanted)
        held = self.ask("options").get("cross_attention_optimization")
        return None if held is None else str(held)

    def draw(self, seed: int, pictures: Pictures) -> tuple[int, list[bytes]]:
        """One request for `pictures`: its wall time in ns, and their PNGs. Raises Refused.

        The negative prompt is as long as the prompt: the web UI runs its network once for both
        where they are of one length, and twice where they are not.
        """
        body = {
            "prompt": pictures.prompt,
            "negative_prompt": pictures.prompt.replace("lighthouse", "harbour"),
            "seed": seed,
            "steps": pictures.steps,
            "width": pictures.side,
            "height": pictures.side,
            "batch_size": pictures.batch,
            "cfg_scale": 7,
            "sampler_name": "Euler",
        }
        start = time.perf_counter_ns()
        reply = self.ask("txt2img", body)
        taken = time.perf_counter_ns() - start
        images = reply.get("images") or []
        if len(images) != pictures.batch:
            raise Refused(f"txt2img answered with {len(images)} images for {pictures.batch}")
        return taken, [base64.b64decode(each.partition("base64,")[2] or each) for each in images]

    def has_cuda(self) -> bool:
        """Whether it draws on a GPU, as far as its memory tells."""
        return "error" not in self.ask("memory")["cuda"]

    def flags(self) -> dict[str, Any]:
        """Its command line, parsed; nothing where it has no such call."""
        try:
            found: dict[str, Any] = self.ask("cmd-flags")
        except Refused:
            return {}
        return found


def on_gpu(api: Api) -> bool:
    """Whether the web UI draws on a GPU: there is one, and no flag keeps it to the CPU."""
    kept = set(api.flags().get("use_cpu") or ())
    return api.has_cuda() and not kept & {"all", "sd"}


def dtype_of(api: Api) -> str | None:
    """The type of the UNet's weights, by the web UI's flags; None where it does not tell them.

    v1.9.3 takes float16 unless a flag says otherwise (modules/devices.py), and has no bfloat16;
    on a CPU its halves do not run.
    """
    flags = api.flags()
    if not flags:
        return None
    whole = flags.get("no_half") or flags.get("precision") == "full"
    return "float32" if whole or not on_gpu(api) else "float16"


def wait_ready(api: Api, timeout_s: float) -> None:
    """Return when a one-step image comes back; weights load after the API first answers.

    Raises TimeoutError with the last error seen.
    """
    end = time.monotonic() + timeout_s
    last = "no answer yet"
    while time.monotonic() < end:
        try:
            api.draw(1, SMALLEST)
            return
        except (OSError, http.client.HTTPException, ValueError, Refused) as error:
            text = f"{type(error).__name__}: {error}"
            if text != last:
                progress(f"image: waiting for the web UI ({text})")
            last = text
        time.sleep(POLL_S)
    raise TimeoutError(f"no image from the web UI within {timeout_s:.0f} s; last: {last}")
