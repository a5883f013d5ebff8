"""The requests of the API, with the web UI's field names, types and defaults.

Written for pydantic 1 and 2 alike: fields and defaults, nothing more. A field that the web UI does
not know is ignored, as it is there.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class ImageRequest(BaseModel):
    """What `/sdapi/v1/txt2img` and `/sdapi/v1/img2img` have in common."""

    prompt: str | None = ""
    negative_prompt: str | None = ""
    styles: list[str] | None = None
    seed: int | None = -1
    subseed: int | None = -1
    subseed_strength: float | None = 0
    seed_resize_from_h: int | None = -1
    seed_resize_from_w: int | None = -1
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: int | None = 1
    n_iter: int | None = 1
    steps: int | None = 50
    cfg_scale: float | None = 7.0
    width: int | None = 512
    height: int | None = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool | None = False
    do_not_save_grid: bool | None = False
    eta: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool | None = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool | None = False
    comments: dict[str, Any] | None = None
    force_task_id: str | None = None
    sampler_index: str | None = "Euler"
    script_name: str | None = None
    script_args: list[Any] | None = []
    send_images: bool | None = True
    save_images: bool | None = False
    alwayson_scripts: dict[str, Any] | None = {}
    infotext: str | None = None


class TextToImage(ImageRequest):
    """The body of `/sdapi/v1/txt2img`."""

    denoising_strength: float | None = None
    enable_hr: bool | None = False
    firstphase_width: int | None = 0
    firstphase_height: int | None = 0
    firstpass_image: str | None = None
    hr_scale: float | None = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: int | None = 0
    hr_resize_x: int | None = 0
    hr_resize_y: int | None = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str | None = ""
    hr_negative_prompt: str | None = ""


class ImageToImage(ImageRequest):
    """The body of `/sdapi/v1/img2img`."""

    init_images: list[Any] | None = None
    denoising_strength: float | None = 0.75
    resize_mode: int | None = 0
    image_cfg_scale: float | None = None
    mask: str | None = None
    mask_blur_x: int | None = 4
    mask_blur_y: int | None = 4
    mask_blur: int | None = None
    mask_round: bool | None = True
    inpainting_fill: int | None = 0
    inpaint_full_res: bool | None = True
    inpaint_full_res_padding: int | None = 0
    inpainting_mask_invert: int | None = 0
    initial_noise_multiplier: float | None = None
    latent_mask: str | None = None
    include_init_images: bool | None = False


# Features of the web UI that the stand-in lacks, with the values that do not ask for them: it says
# so rather than ignore them.
LACKING: dict[str, tuple[object, ...]] = {
    "subseed_strength": (None, 0),
    "restore_faces": (None, False),
    "tiling": (None, False),
    "eta": (None,),
    "s_min_uncond": (None, 0),
    "s_churn": (None, 0),
    "s_tmin": (None, 0),
    "s_noise": (None, 1),
    "refiner_checkpoint": (None, "", "None", "none"),
    "save_images": (None, False),
    "infotext": (None, ""),
    "enable_hr": (None, False),
    "firstpass_image": (None,),
    "resize_mode": (None, 0),
    "mask": (None, ""),
    "latent_mask": (None, ""),
    "initial_noise_multiplier": (None, 1),
}


def lacking(request: ImageRequest) -> list[str]:
    """The fields of a request that ask for what the stand-in does not have."""
    fields = dict(request)
    return [name for name, fine in LACKING.items() if name in fields and fields[name] not in fine]
