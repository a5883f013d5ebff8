"""Ties the parts together: the model that loads in the background, its attention, and jobs."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from standin.arguments import Arguments
from standin.infotext import VERSION, infotext
from standin.jobs import Jobs
from standin.optimizers import choose
from standin.options import Options
from standin.orders import Order, Picture

if TYPE_CHECKING:
    from standin.loading import Networks

log = logging.getLogger(__name__)

# As the web UI draws seeds.
SEEDS = 4_294_967_294
ATTENTION = "cross_attention_optimization"


def fixed_seed(seed: int | None) -> int:
    """The seed, or a random one for -1 and none."""
    return random.randrange(SEEDS) if seed in (None, -1) else int(seed or 0)


class ModelUnavailable(RuntimeError):
    """The model could not be loaded; the message says why."""


class Checkpoint:
    """The file given by `--ckpt`, as the web UI lists it; its hash is known once it is loaded."""

    def __init__(self, file: Path) -> None:
        """Name the file; nothing is read."""
        self.file = file.absolute()
        self.sha256: str | None = None

    @property
    def short_hash(self) -> str | None:
        """The first ten digits of the hash."""
        return self.sha256[:10] if self.sha256 else None

    @property
    def title(self) -> str:
        """The value of the setting `sd_model_checkpoint`."""
        return f"{self.file.name} [{self.short_hash}]" if self.sha256 else self.file.name

    @property
    def aliases(self) -> set[str | None]:
        """Every name by which a request may ask for it."""
        return {self.title, self.file.name, self.file.stem, self.short_hash, self.sha256} - {None}

    def describe(self) -> dict[str, object]:
        """The entry in `/sdapi/v1/sd-models`."""
        config = self.file.with_suffix(".yaml")
        return {
            "title": self.title,
            "model_name": self.file.stem,
            "hash": self.short_hash,
            "sha256": self.sha256,
            "filename": str(self.file),
            "config": str(config) if config.exists() else None,
        }


class Server:
    """The program's state: settings, jobs and the model."""

    def __init__(self, arguments: Arguments) -> None:
        """Read the settings; the model is loaded by `start`."""
        self.arguments = arguments
        self.options = Options(arguments.settings_file)
        self.options.on_change(ATTENTION, self._switch_attention)
        self.jobs = Jobs()
        self.checkpoint: Checkpoint | None = None
        if arguments.checkpoint is not None and arguments.checkpoint.exists():
            self.checkpoint = Checkpoint(arguments.checkpoint)
            self.options.put({"sd_model_checkpoint": self.checkpoint.title})
        elif arguments.checkpoint is not None:
            log.error("Checkpoint in --ckpt argument not found: %s", arguments.checkpoint)
        self._networks: Networks | None = None
        self._failure = ""
        self._loaded = threading.Event()

    def start(self) -> None:
        """Begin to load the model, in a thread of its own."""
        threading.Thread(target=self._load, name="load-model", daemon=True).start()

    def _load(self) -> None:
        """Load the model and apply its attention, or keep the reason for not having it."""
        try:
            # Imported here: torch and diffusers take seconds that the API need not wait for.
            from standin import loading

            if self.checkpoint is None:
                raise loading.LoadError(f"no checkpoint at {self.arguments.checkpoint}")
            if not self.arguments.no_hashing:
                self.checkpoint.sha256 = loading.sha256(self.checkpoint.file)
                self.options.put({"sd_model_checkpoint": self.checkpoint.title})
            networks = loading.load(self.checkpoint.file, self.arguments)
            self._apply_attention(networks)
            self._networks = networks
        except Exception as error:
            # Of whatever kind: requests that need the model answer with it, the others are served.
            self._failure = str(error) or repr(error)
            expected = type(error).__name__ == "LoadError"
            log.error("Stable diffusion model failed to load: %s", error, exc_info=not expected)
        finally:
            self._loaded.set()

    @property
    def loaded(self) -> Networks | None:
        """The model if it is there already."""
        return self._networks

    def networks(self) -> Networks:
        """The model, waiting for it; ModelUnavailable when it could not be loaded."""
        self._loaded.wait()
        if self._networks is None:
            raise ModelUnavailable(f"Stable diffusion model failed to load: {self._failure}")
        return self._networks

    def _apply_attention(self, networks: Networks) -> None:
        """Have the networks compute attention as flags, setting and device say."""
        from standin import attention, loading

        device = loading.describe_device(networks.device, self.arguments)
        selection = str(self.options[ATTENTION])
        optimizer = choose(selection, device, self.arguments.attention)
        attention.apply(optimizer, networks.unet, networks.vae)
        if optimizer is None:
            log.info("Disabling attention optimization")
        else:
            log.info("Applying attention optimization: %s... done.", optimizer.name)

    def _switch_attention(self) -> None:
        """Follow a change of the setting, not in the middle of a job."""
        self._loaded.wait()
        networks = self._networks
        if networks is None:
            log.warning("No model, so no attention to switch")
            return
        with self.jobs.turn:
            self._apply_attention(networks)

    @contextmanager
    def _overridden(self, order: Order) -> Iterator[None]:
        """The settings of an order, for the time of its job unless they are to stay."""
        before = self.options.put(order.settings)
        try:
            yield
        finally:
            if order.restore_settings:
                self.options.put(before)

    def run(self, order: Order) -> tuple[list[Picture], str]:
        """Make the pictures of an order when its turn has come; also the reply's `info`.

        An interrupted job returns the batches it has, the last one as far as it got.
        """
        networks = self.networks()
        # Imported after the loading thread is done with the same packages: two threads that
        # import them at once get halves of modules.
        from standin import sampling

        pictures: list[Picture] = []
        jobs = self.jobs
        with jobs.running(order.name, order.batches, order.batch.steps), self._overridden(order):
            clip_skip = int(str(self.options["CLIP_stop_at_last_layers"]))
            order = replace(order, batch=replace(order.batch, clip_skip=clip_skip))

            def go_on(step: int) -> bool:
                jobs.step = step
                return not jobs.interrupted

            for number in range(order.batches):
                if jobs.interrupted:
                    break
                first = order.seed + number * order.batch_size
                seeds = tuple(range(first, first + order.batch_size))
                batch = replace(order.batch, seeds=seeds)
                decoded = sampling.decode(networks, sampling.sample(networks, batch, go_on))
                for seed, pixels in zip(seeds, decoded, strict=True):
                    pictures.append(Picture(pixels, self._infotext(order, seed)))
                jobs.next_batch()
            return pictures, self._info(order, [picture.infotext for picture in pictures])

    def _infotext(self, order: Order, seed: int) -> str:
        """The parameters of one picture."""
        batch, options = order.batch, self.options
        assert self.checkpoint is not None
        parameters = {
            "Steps": batch.steps,
            "Sampler": batch.sampler.name,
            "Schedule type": batch.schedule,
            "CFG scale": batch.cfg_scale,
            "Seed": seed,
            "Size": f"{batch.width}x{batch.height}",
            "Model hash": self.checkpoint.short_hash if options["add_model_hash_to_info"] else None,
            "Model": self.checkpoint.file.stem if options["add_model_name_to_info"] else None,
            "Denoising strength": order.denoising_strength,
            "Clip skip": batch.clip_skip if batch.clip_skip > 1 else None,
            "Version": VERSION if options["add_version_to_infotext"] else None,
        }
        return infotext(batch.prompt, batch.negative_prompt, parameters)

    def _info(self, order: Order, infotexts: list[str]) -> str:
        """The `info` of a reply: what was made, as JSON."""
        batch, count = order.batch, order.batch_size * order.batches
        assert self.checkpoint is not None
        extra = {}
        if order.denoising_strength is not None:
            extra["Denoising strength"] = order.denoising_strength
        return json.dumps(
            {
                "prompt": batch.prompt,
                "all_prompts": [batch.prompt] * count,
                "negative_prompt": batch.negative_prompt,
                "all_negative_prompts": [batch.negative_prompt] * count,
                "seed": order.seed,
                "all_seeds": [order.seed + index for index in range(count)],
                "subseed": order.subseed,
                "all_subseeds": [order.subseed + index for index in range(count)],
                "subseed_strength": 0,
                "width": batch.width,
                "height": batch.height,
                "sampler_name": batch.sampler.name,
                "cfg_scale": batch.cfg_scale,
                "steps": batch.steps,
                "batch_size": order.batch_size,
                "restore_faces": False,
                "face_restoration_model": None,
                "sd_model_name": self.checkpoint.file.stem,
                "sd_model_hash": self.checkpoint.short_hash,
                "sd_vae_name": None,
                "sd_vae_hash": None,
                "seed_resize_from_w": -1,
                "seed_resize_from_h": -1,
                "denoising_strength": order.denoising_strength,
                "extra_generation_params": extra,
                "index_of_first_image": 0,
                "infotexts": infotexts,
                "styles": [],
                "job_timestamp": self.jobs.stamp,
                "clip_skip": batch.clip_skip,
                "is_using_inpainting_conditioning": False,
                "version": VERSION,
            }
        )
