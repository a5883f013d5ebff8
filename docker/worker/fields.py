"""The payload fields that the web UI knows, and what to say about the ones it does not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from client import TXT2IMG

IMG2IMG = "/sdapi/v1/img2img"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The API's field names, as web UI v1.9.3 lists them in its own /openapi.json. It accepts any
# other name without a word and ignores it: `num_inference_steps: 20` means 50 steps.
COMMON_FIELDS = _names(
    """
    alwayson_scripts batch_size cfg_scale comments denoising_strength disable_extra_networks
    do_not_save_grid do_not_save_samples eta firstpass_image force_task_id height infotext n_iter
    negative_prompt override_settings override_settings_restore_afterwards prompt
    refiner_checkpoint refiner_switch_at restore_faces s_churn s_min_uncond s_noise s_tmax s_tmin
    sampler_index sampler_name save_images scheduler script_args script_name seed
    seed_resize_from_h seed_resize_from_w send_images steps styles subseed subseed_strength tiling
    width
    """
)
FIELDS: Mapping[str, frozenset[str]] = {
    TXT2IMG: COMMON_FIELDS
    | _names(
        """
        enable_hr firstphase_height firstphase_width hr_checkpoint_name hr_negative_prompt
        hr_prompt hr_resize_x hr_resize_y hr_sampler_name hr_scale hr_scheduler
        hr_second_pass_steps hr_upscaler
        """
    ),
    IMG2IMG: COMMON_FIELDS
    | _names(
        """
        image_cfg_scale include_init_images init_images initial_noise_multiplier
        inpaint_full_res inpaint_full_res_padding inpainting_fill inpainting_mask_invert
        latent_mask mask mask_blur mask_blur_x mask_blur_y mask_round resize_mode
        """
    ),
}

# Names of diffusers and of other services, for which the web UI has its own.
OTHER_NAMES: Mapping[str, str] = {
    "guidance_scale": "cfg_scale",
    "image": "init_images",
    "init_image": "init_images",
    "mask_image": "mask",
    "num_images": "batch_size",
    "num_images_per_prompt": "batch_size",
    "num_inference_steps": "steps",
    "num_outputs": "batch_size",
    "prompt_strength": "denoising_strength",
    "sampler": "sampler_name",
    "strength": "denoising_strength",
}


def advice(endpoint: str, name: str) -> str:
    """Return what to write in place of an unknown field, in parentheses; empty if nobody knows."""
    meant = OTHER_NAMES.get(name, name)
    if meant not in FIELDS[endpoint]:
        elsewhere = [other for other, fields in FIELDS.items() if meant in fields]
        if elsewhere:
            return f" (that is {meant!r} of {elsewhere[0]})"
        close = difflib.get_close_matches(name, FIELDS[endpoint], n=1)
        if not close:
            return ""
        meant = close[0]
    return f" (use {meant!r})"
