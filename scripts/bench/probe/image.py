"""Suite `image`: drives the web UI's API on loopback, from inside its own container.

Standard library only. The host chooses what to ask for and reads the container's log, where the
web UI says which optimization it applied; this module asks and times.
"""

import base64
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import rounds
from .records import Emitter, progress

LAUNCH = Path("/app/launch.json")
DEFAULT_URL = "http://127.0.0.1:3000"
SIZES = ((64, 4), (128, 4), (256, 4), (512, 4), (512, 8), (512, 20))
"""(side in pixels, steps) of the image, from what a slow machine can do up to what is wanted."""
AGAIN = "@again"
POLL_S = 0.5
REQUEST_S = 600.0

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


@dataclass(frozen=True)
class Plan:
    """What is measured: names of TITLES, and how; times in seconds."""

    backends: tuple[str, ...]
    seed: int
    least_rounds: int
    budget_s: float


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
        self._url = url.rstrip("/")

    def _ask(self, path: str, body: Mapping[str, Any] | None, timeout: float) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data=data, headers={"Content-Type": "application/json"}
        )
        try:
            # The URL is loopback's, from launch.json; no proxy must come between.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=timeout) as reply:
                return json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            text = " ".join(error.read().decode(errors="replace").split())
            raise Refused(f"HTTP {error.code} from {path}: {text[:400]}") from None

    def select(self, title: str) -> str | None:
        """Switch the attention optimization; return what the options then hold."""
        wanted = {"cross_attention_optimization": title, "live_previews_enable": False}
        self._ask("/sdapi/v1/options", wanted, REQUEST_S)
        options = self._ask("/sdapi/v1/options", None, REQUEST_S)
        held = options.get("cross_attention_optimization")
        return None if held is None else str(held)

    def draw(self, seed: int, steps: int, side: int) -> tuple[int, bytes]:
        """One image: its wall time in ns, and its PNG. Raises Refused."""
        body = {
            "prompt": "a lighthouse on a cliff, evening light",
            "negative_prompt": "blurry",
            "seed": seed,
            "steps": steps,
            "width": side,
            "height": side,
            "cfg_scale": 7,
            "sampler_name": "Euler",
        }
        start = time.perf_counter_ns()
        reply = self._ask("/sdapi/v1/txt2img", body, REQUEST_S)
        taken = time.perf_counter_ns() - start
        images = reply.get("images") or []
        if not images:
            raise Refused("txt2img answered without an image")
        return taken, base64.b64decode(images[0].partition("base64,")[2] or images[0])


def wait_ready(api: Api, timeout_s: float) -> None:
    """Return when a one-step image comes back; weights load after the API first answers.

    Raises TimeoutError with the last error seen.
    """
    end = time.monotonic() + timeout_s
    last = "no answer yet"
    while time.monotonic() < end:
        try:
            api.draw(1, 1, SIZES[0][0])
            return
        except (OSError, http.client.HTTPException, ValueError, Refused) as error:
            text = f"{type(error).__name__}: {error}"
            if text != last:
                progress(f"image: waiting for the web UI ({text})")
            last = text
        time.sleep(POLL_S)
    raise TimeoutError(f"no image from the web UI within {timeout_s:.0f} s; last: {last}")


def pixels_digest(png: bytes) -> str:
    """SHA-256 of a PNG's header and pixel chunks: its text chunks do not count."""
    digest, at = hashlib.sha256(), 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        kind = png[at + 4 : at + 8]
        if kind in (b"IHDR", b"IDAT"):
            digest.update(png[at + 8 : at + 8 + length])
        at += 12 + length
    return digest.hexdigest()


def _size(api: Api, plan: Plan) -> tuple[int, int]:
    """The largest of SIZES at which all rounds fit into the budget, by one picture of each.

    A size is not even tried where pixels and steps (two more, for text and decoding) foretell
    four times the budget: small pictures have costs of their own, so that forecast is high.
    """
    # Every timed picture has a one-step warm-up, which takes half as long at most.
    images = 1.5 * (len(plan.backends) + 1) * plan.least_rounds
    api.draw(plan.seed, 1, SIZES[0][0])
    chosen, taken = SIZES[0], api.draw(plan.seed, SIZES[0][1], SIZES[0][0])[0]
    for side, steps in SIZES[1:]:
        growth = (side / chosen[0]) ** 2 * (steps + 2) / (chosen[1] + 2)
        if taken * growth / 1e9 * images > 4 * plan.budget_s:
            break
        taken = api.draw(plan.seed, steps, side)[0]
        if taken / 1e9 * images > plan.budget_s:
            break
        chosen = (side, steps)
    return chosen


def run(api: Api, plan: Plan, emitter: Emitter) -> None:
    """Draw the same image with every backend, in rounds; emit each image when it is there.

    Every image follows a one-step warm-up under the same optimization. The first backend runs
    twice a round: it is the A/A pair. Raises Refused where even its image is refused.
    """
    end = time.monotonic() + plan.budget_s
    names = [*plan.backends, plan.backends[0] + AGAIN]
    api.select(TITLES[plan.backends[0]])
    side, steps = _size(api, plan)
    key = f"image-{side}-{steps}"
    emitter.emit(
        "plan",
        {
            "reference": plan.backends[0],
            "side": side,
            "steps": steps,
            "wanted": SIZES[-1],
        },
    )
    samples: dict[str, list[int]] = {name: [] for name in names}
    sent: dict[str, str] = {}
    index, longest = 0, 0.0
    while names:
        begun = time.monotonic()
        order = rounds.order(names, plan.seed, key, index)
        for position, name in enumerate(order):
            backend = name.removesuffix(AGAIN)
            try:
                api.select(TITLES[backend])
                api.draw(plan.seed, 1, side)
                taken, png = api.draw(plan.seed, steps, side)
            except Refused as error:
                emitter.emit("refused", {"backend": name, "reason": str(error)})
                names.remove(name)
                samples.pop(name)
                continue
            samples[name].append(taken)
            digest = pixels_digest(png)
            fresh = sent.setdefault(name, digest) == digest and len(samples[name]) == 1
            emitter.emit(
                "image",
                {
                    "backend": name,
                    "round": index,
                    "position": position,
                    "ns": taken,
                    "pixels": digest,
                    "png": base64.b64encode(png).decode() if fresh else None,
                },
            )
        index += 1
        longest = max(longest, time.monotonic() - begun)
        progress(f"image: round {index} at {side}x{side}, {longest:.1f} s")
        if _done(samples, index, plan) or time.monotonic() + longest > end:
            break
    emitter.emit("image_end", {"reasons": _reasons(samples, plan), "rounds": index})


def _paired(samples: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Half-width of each ratio to the first backend; of the first to its second run."""
    names = list(samples)
    against = {n: n + AGAIN if n == names[0] and n + AGAIN in samples else names[0] for n in names}
    return {n: rounds.half_width(samples[against[n]], samples[n]) for n in names}


def _done(samples: Mapping[str, Sequence[int]], index: int, plan: Plan) -> bool:
    return rounds.is_precise(_paired(samples), index, plan.least_rounds)


def _reasons(samples: Mapping[str, Sequence[int]], plan: Plan) -> dict[str, str | None]:
    widths = _paired(samples)
    return {n: rounds.shortfall(widths[n], len(samples[n]), plan.least_rounds) for n in samples}
