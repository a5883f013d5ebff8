"""Every backend of suite `attn` by its name: for the U-Net's calls, and for the VAE's."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from . import backends, forced, vae_backends
from .attn_plan import FORCED
from .backends import Backend


@dataclass(frozen=True)
class Call:
    """A backend with its inputs: `call()` runs it, inside the context that `around()` gives."""

    call: Callable[[], Any]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext

    def once(self) -> Any:
        """Run it once, in its context."""
        with self.around():
            return self.call()


_FORCED: dict[str, Backend] = {
    name: partial(forced.xformers_by, name) if name.startswith("xformers") else backends.sdp
    for name in FORCED
}
UNET: dict[str, Backend] = {**backends.BACKENDS, **_FORCED}
VAE: dict[str, Backend] = {
    "sdp": vae_backends.sdp,
    # The U-Net's, with one head: (b, 1, n, c).
    "sdp-4d": backends.sdp,
    "sdp-no-mem": vae_backends.sdp_no_mem,
    "sdp-no-mem-4d": backends.sdp_no_mem,
    "xformers": vae_backends.xformers,
    "Doggettx": vae_backends.doggettx,
    "sub-quadratic": backends.sub_quadratic,
    "naive": vae_backends.naive,
    **_FORCED,
}


def prepared(name: str, model: str, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Call:
    """Backend `name` on these inputs as `model` ("vae", or a U-Net's) calls it.

    q is (b, n, h*d), k and v are (b, m, h*d).
    """
    attend = (VAE if model == "vae" else UNET)[name]
    return Call(partial(attend, q, k, v, heads), partial(forced.around, name))
