"""The part of the web UI's HTTP API that sdkiln's worker and benchmarks use."""

from __future__ import annotations

import base64
import binascii
import io
import logging
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import psutil
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBasic
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from starlette.requests import Request
from starlette.responses import Response

from standin.orders import Batch, Order, Picture, Pixels
from standin.samplers import BY_NAME, SAMPLERS
from standin.schema import ImageRequest, ImageToImage, TextToImage, lacking
from standin.server import ModelUnavailable, Server, fixed_seed

log = logging.getLogger(__name__)


def fault(error: Exception) -> JSONResponse:
    """An error in the web UI's shape; 500 unless the error brings its status."""
    content = {
        "error": type(error).__name__,
        "detail": getattr(error, "detail", ""),
        "body": getattr(error, "body", ""),
        "errors": "" if isinstance(error, HTTPException) else str(error),
    }
    headers = getattr(error, "headers", None)
    return JSONResponse(content, getattr(error, "status_code", 500), headers=headers)


async def http_fault(_: Request, error: Exception) -> Response:
    """The handler of HTTPException."""
    return fault(error)


async def middleware(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Turn exceptions into replies, and mark every reply with its time and with what this is."""
    started = time.perf_counter()
    try:
        response = await call_next(request)
    except Exception as error:
        log.error("API error: %s %s: %r", request.method, request.url.path, error)
        if not isinstance(error, ModelUnavailable | ValueError | KeyError):
            # Without the chain of exceptions by which the frameworks passed it on.
            trace = traceback.format_exception(
                type(error), error, error.__traceback__, limit=-6, chain=False
            )
            log.error("%s", "".join(trace).rstrip())
        response = fault(error)
    response.headers["X-Process-Time"] = str(round(time.perf_counter() - started, 4))
    response.headers["X-Sdkiln-Standin"] = "1"
    return response


def encode_png(picture: Picture) -> str:
    """A PNG with its parameters as a text chunk, in base64."""
    metadata = PngImagePlugin.PngInfo()
    metadata.add_text("parameters", picture.infotext)
    stream = io.BytesIO()
    Image.fromarray(picture.pixels).save(stream, format="PNG", pnginfo=metadata)
    return base64.b64encode(stream.getvalue()).decode()


def decode_image(text: object) -> Image.Image:
    """An image in base64, with or without a data URL's start; HTTPException when it is none."""
    if not isinstance(text, str):
        raise HTTPException(500, "Invalid encoded image")
    if text.startswith(("http://", "https://")):
        raise HTTPException(500, "Requests not allowed")
    if text.startswith("data:image/"):
        text = text.partition(",")[2]
    try:
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        image.load()
    except (binascii.Error, ValueError, UnidentifiedImageError, OSError) as error:
        raise HTTPException(500, "Invalid encoded image") from error
    return image


def flatten(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image without transparency (on white), stretched to the size."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def stack(images: list[Image.Image], batch_size: int) -> Pixels:
    """Images of one size as (batch, height, width, 3); a single one serves the whole batch."""
    arrays = [np.asarray(image) for image in images]
    return np.stack(arrays * batch_size if len(arrays) == 1 else arrays)


class Api:
    """The endpoints, over a server."""

    def __init__(self, server: Server) -> None:
        """Answer for this server."""
        self.server = server

    def app(self) -> FastAPI:
        """The application with all its routes."""
        app = FastAPI(title="sdkiln sandbox: stand-in for the web UI")
        app.middleware("http")(middleware)
        app.add_exception_handler(HTTPException, http_fault)
        guards = [Depends(self.authorize)] if self.server.arguments.api_auth else []
        for path, method, endpoint in (
            ("txt2img", "POST", self.txt2img),
            ("img2img", "POST", self.img2img),
            ("options", "GET", self.get_options),
            ("options", "POST", self.set_options),
            ("sd-models", "GET", self.sd_models),
            ("samplers", "GET", self.samplers),
            ("memory", "GET", self.memory),
            ("cmd-flags", "GET", self.cmd_flags),
            ("progress", "GET", self.progress),
            ("interrupt", "POST", self.interrupt),
        ):
            app.add_api_route(f"/sdapi/v1/{path}", endpoint, methods=[method], dependencies=guards)
        return app

    async def authorize(self, request: Request) -> None:
        """Let in who `--api-auth` names; HTTPException 401 for anyone else."""
        credentials = await HTTPBasic()(request)
        given = (credentials.username, credentials.password)
        for user, password in self.server.arguments.api_auth:
            name_fits = secrets.compare_digest(given[0].encode(), user.encode())
            if name_fits and secrets.compare_digest(given[1].encode(), password.encode()):
                return
        raise HTTPException(
            401, "Incorrect username or password", headers={"WWW-Authenticate": "Basic"}
        )

    def txt2img(self, request: TextToImage) -> dict[str, object]:
        """Pictures from a prompt."""
        return self._answer(request, self._order(request, "txt2img", None))

    def img2img(self, request: ImageToImage) -> dict[str, object]:
        """Pictures from pictures and a prompt."""
        if request.init_images is None:
            raise HTTPException(404, "Init image not found")
        images = [decode_image(text) for text in request.init_images]
        reply = self._answer(request, self._order(request, "img2img", images))
        if not request.include_init_images:
            reply["parameters"] = {**dict(request), "init_images": None, "mask": None}
        return reply

    def _order(self, request: ImageRequest, name: str, images: list[Image.Image] | None) -> Order:
        """A request, checked and completed."""
        sampler = BY_NAME.get(request.sampler_name or request.sampler_index or "")
        if sampler is None:
            raise HTTPException(404, "Sampler not found")
        for script in (request.script_name, *(request.alwayson_scripts or ())):
            if script:
                raise HTTPException(422, f"Script '{script}' not found")
        if missing := lacking(request):
            raise HTTPException(
                422, f"The sandbox's stand-in web UI has no {', '.join(missing)}; leave it out"
            )
        width, height = request.width or 0, request.height or 0
        batch_size, batches = request.batch_size or 0, request.n_iter or 0
        if min(batch_size, batches) < 1:
            raise ValueError("batch_size and n_iter must be at least 1")
        pictures = None
        if images is not None:
            if not images or (len(images) > 1 and len(images) > batch_size):
                raise RuntimeError(f"{len(images)} images were given for a batch of {batch_size}")
            batch_size = len(images) if len(images) > 1 else batch_size
            flat = [flatten(image, max(width, 1), max(height, 1)) for image in images]
            pictures = stack(flat, batch_size)
        strength = getattr(request, "denoising_strength", None)
        batch = Batch(
            prompt=request.prompt or "",
            negative_prompt=request.negative_prompt or "",
            seeds=(),
            sampler=sampler,
            schedule=request.scheduler,
            steps=request.steps or 0,
            cfg_scale=7.0 if request.cfg_scale is None else request.cfg_scale,
            width=width,
            height=height,
            clip_skip=1,
            pictures=pictures,
            denoising_strength=0.75 if strength is None else strength,
        )
        return Order(
            name=f"scripts_{name}",
            batch=batch,
            batch_size=batch_size,
            batches=batches,
            seed=fixed_seed(request.seed),
            subseed=fixed_seed(request.subseed),
            settings=self._overrides(request.override_settings or {}),
            restore_settings=bool(request.override_settings_restore_afterwards),
            denoising_strength=strength if images is not None else None,
        )

    def _overrides(self, settings: dict[str, object]) -> dict[str, object]:
        """Settings of a request; as in the web UI, a checkpoint that is not there is left out."""
        chosen = dict(settings)
        checkpoint = self.server.checkpoint
        if checkpoint is None or chosen.get("sd_model_checkpoint") not in checkpoint.aliases:
            chosen.pop("sd_model_checkpoint", None)
        return chosen

    def _answer(self, request: ImageRequest, order: Order) -> dict[str, object]:
        """Run an order and put the pictures into the web UI's reply."""
        pictures, info = self.server.run(order)
        images = [encode_png(picture) for picture in pictures] if request.send_images else []
        return {"images": images, "parameters": dict(request), "info": info}

    def get_options(self) -> dict[str, object]:
        """All settings."""
        return self.server.options.all()

    def set_options(self, settings: dict[str, Any]) -> None:
        """Change settings; the file has them before this returns."""
        name, checkpoint = settings.get("sd_model_checkpoint"), self.server.checkpoint
        if name is not None and (checkpoint is None or name not in checkpoint.aliases):
            raise RuntimeError(f"model {name!r} not found")
        self.server.options.update(settings)

    def sd_models(self) -> list[dict[str, object]]:
        """The checkpoint, whether it is loaded yet or not."""
        checkpoint = self.server.checkpoint
        return [] if checkpoint is None else [checkpoint.describe()]

    def samplers(self) -> list[dict[str, object]]:
        """The samplers this server has; the web UI has more."""
        return [
            {
                "name": sampler.name,
                "aliases": list(sampler.aliases),
                "options": {"scheduler": "karras"} if sampler.karras_by_default else {},
            }
            for sampler in SAMPLERS
        ]

    def progress(self, skip_current_image: bool = False) -> dict[str, object]:
        """How far the current job is. There are no previews, so nothing can be skipped."""
        return self.server.jobs.snapshot()

    def interrupt(self) -> dict[str, object]:
        """Stop the current job."""
        self.server.jobs.interrupt()
        return {}

    def cmd_flags(self) -> dict[str, object]:
        """The command line: the flags that the stand-in acts on, by the web UI's names."""
        return self.server.arguments.by_name()

    def memory(self) -> dict[str, object]:
        """Bytes of main memory that this process uses, and of GPU memory."""
        used = psutil.Process().memory_info().rss
        total = psutil.virtual_memory().total
        ram = {"free": total - used, "used": used, "total": total}
        return {"ram": ram, "cuda": self._gpu_memory()}

    def _gpu_memory(self) -> dict[str, object]:
        """GPU memory in the web UI's shape, or why there is none."""
        networks = self.server.loaded
        if networks is None or networks.device.type != "cuda":
            return {"error": "unavailable"}
        import torch

        free, total = torch.cuda.mem_get_info(networks.device)
        stats = torch.cuda.memory_stats(networks.device)

        def pair(name: str) -> dict[str, int]:
            return {
                "current": stats[f"{name}_bytes.all.current"],
                "peak": stats[f"{name}_bytes.all.peak"],
            }

        return {
            "system": {"free": free, "used": total - free, "total": total},
            "active": pair("active"),
            "allocated": pair("allocated"),
            "reserved": pair("reserved"),
            "inactive": pair("inactive_split"),
            "events": {"retries": stats["num_alloc_retries"], "oom": stats["num_ooms"]},
        }
