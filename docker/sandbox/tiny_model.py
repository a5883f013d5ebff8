"""Writes the sandbox's model: a Stable Diffusion 1.x checkpoint of the real shape and tiny widths.

    python docker/sandbox/tiny_model.py OUTPUT_DIR    tiny.safetensors, tiny.yaml, tiny-clip/
    ... --size sd15 OUTPUT_DIR    sd15.safetensors (2.1 GB, the widths of SD1.5), sd15.yaml

The weights are random, so the pictures show nothing; what it is for is the way there: every layer,
every key and every call of SD1.x, in a file that a hash can pin. Any Python from 3.10 on, on any
machine, writes the same bytes: weights come from SHAKE-256 of the tensor's name and are put
together as bytes, and the few formulas (the noise schedule) are evaluated in decimal arithmetic.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import partial
from pathlib import Path

# One file, so that its hash in the lock covers all that the model follows from.
Shape = tuple[int, ...]
Shapes = dict[str, Shape]

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
CONTEXT_LENGTH = 77
LATENT_CHANNELS = 4
TIMESTEPS = 1000
# Of the Stable Diffusion 1.x training configuration: beta runs from the first to the second value,
# linearly in its square root.
LINEAR_START, LINEAR_END = "0.00085", "0.0120"


@dataclass(frozen=True)
class Size:
    """The widths of a Stable Diffusion 1.x model; GroupNorm wants them divisible by 32.

    The downsampling by 8 of the VAE, the four levels, the number of blocks and the places of
    attention are the topology and are the same in every size.
    """

    name: str
    channels: int
    channel_mult: tuple[int, ...]
    heads: int
    vae_channels: int
    vae_mult: tuple[int, ...]
    text_width: int
    text_layers: int
    text_heads: int
    vocabulary: int
    blocks: int = 2
    # Downsampling factors at which the UNet has transformer blocks.
    attention_at: tuple[int, ...] = (4, 2, 1)


# --- names and shapes of the tensors --------------------------------------------------------------


def under(prefix: str, shapes: Shapes) -> Shapes:
    """The same tensors, one module further down."""
    return {prefix + name: shape for name, shape in shapes.items()}


def conv(name: str, inputs: int, outputs: int, kernel: int) -> Shapes:
    """A two-dimensional convolution with bias."""
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}


def linear(name: str, inputs: int, outputs: int) -> Shapes:
    """A linear layer with bias."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, channels: int) -> Shapes:
    """A group or layer normalization with scale and shift."""
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def unet_resblock(inputs: int, outputs: int, embedding: int) -> Shapes:
    """A residual block of the UNet, modulated by the time embedding."""
    shapes = norm("in_layers.0", inputs) | conv("in_layers.2", inputs, outputs, 3)
    shapes |= linear("emb_layers.1", embedding, outputs)
    shapes |= norm("out_layers.0", outputs) | conv("out_layers.3", outputs, outputs, 3)
    if inputs != outputs:
        shapes |= conv("skip_connection", inputs, outputs, 1)
    return shapes


def attention(name: str, width: int, context: int) -> Shapes:
    """An attention layer: queries of `width` channels, keys and values from `context` channels."""
    return {
        f"{name}.to_q.weight": (width, width),
        f"{name}.to_k.weight": (width, context),
        f"{name}.to_v.weight": (width, context),
    } | linear(f"{name}.to_out.0", width, width)


def transformer_block(width: int, context: int) -> Shapes:
    """A spatial transformer: self-attention, cross-attention and a gated feed-forward layer."""
    block = attention("attn1", width, width) | attention("attn2", width, context)
    # GEGLU: one half of the first layer gates the other.
    block |= linear("ff.net.0.proj", width, 8 * width) | linear("ff.net.2", 4 * width, width)
    for number in (1, 2, 3):
        block |= norm(f"norm{number}", width)
    return (
        norm("norm", width)
        | conv("proj_in", width, width, 1)
        | under("transformer_blocks.0.", block)
        | conv("proj_out", width, width, 1)
    )


def unet(size: Size) -> Shapes:
    """The denoising UNet, under the names of `openaimodel.UNetModel`."""
    width, embedding = size.channels, 4 * size.channels
    last = len(size.channel_mult) - 1
    shapes = linear("time_embed.0", width, embedding) | linear("time_embed.2", embedding, embedding)
    shapes |= conv("input_blocks.0.0", LATENT_CHANNELS, width, 3)

    def layers(name: str, inputs: int, outputs: int, level: int) -> Shapes:
        found = under(f"{name}.0.", unet_resblock(inputs, outputs, embedding))
        if 2**level in size.attention_at:
            found |= under(f"{name}.1.", transformer_block(outputs, size.text_width))
        return found

    skips, current, index = [width], width, 1
    for level, mult in enumerate(size.channel_mult):
        for _ in range(size.blocks):
            shapes |= layers(f"input_blocks.{index}", current, width * mult, level)
            current, index = width * mult, index + 1
            skips.append(current)
        if level != last:
            shapes |= conv(f"input_blocks.{index}.0.op", current, current, 3)
            index += 1
            skips.append(current)

    for part, shape in (
        ("0", unet_resblock(current, current, embedding)),
        ("1", transformer_block(current, size.text_width)),
        ("2", unet_resblock(current, current, embedding)),
    ):
        shapes |= under(f"middle_block.{part}.", shape)

    index = 0
    for level, mult in reversed(list(enumerate(size.channel_mult))):
        for block in range(size.blocks + 1):
            shapes |= layers(f"output_blocks.{index}", current + skips.pop(), width * mult, level)
            current = width * mult
            if level and block == size.blocks:
                place = 2 if 2**level in size.attention_at else 1
                shapes |= conv(f"output_blocks.{index}.{place}.conv", current, current, 3)
            index += 1
    return shapes | norm("out.0", current) | conv("out.2", current, LATENT_CHANNELS, 3)


def vae_resblock(inputs: int, outputs: int) -> Shapes:
    """A residual block of the autoencoder."""
    shapes = norm("norm1", inputs) | conv("conv1", inputs, outputs, 3)
    shapes |= norm("norm2", outputs) | conv("conv2", outputs, outputs, 3)
    if inputs != outputs:
        shapes |= conv("nin_shortcut", inputs, outputs, 1)
    return shapes


def vae_middle(width: int) -> Shapes:
    """Two residual blocks with single-head attention over all positions between them."""
    layer = norm("norm", width)
    for name in ("q", "k", "v", "proj_out"):
        layer |= conv(name, width, width, 1)
    block = vae_resblock(width, width)
    return under("block_1.", block) | under("attn_1.", layer) | under("block_2.", block)


def vae_encoder(size: Size) -> Shapes:
    """Pixels to the mean and log-variance of the latents, eight times smaller."""
    current = size.vae_channels
    shapes = conv("conv_in", 3, current, 3)
    for level, mult in enumerate(size.vae_mult):
        for block in range(size.blocks):
            outputs = size.vae_channels * mult
            shapes |= under(f"down.{level}.block.{block}.", vae_resblock(current, outputs))
            current = outputs
        if level != len(size.vae_mult) - 1:
            shapes |= conv(f"down.{level}.downsample.conv", current, current, 3)
    shapes |= under("mid.", vae_middle(current)) | norm("norm_out", current)
    return shapes | conv("conv_out", current, 2 * LATENT_CHANNELS, 3)


def vae_decoder(size: Size) -> Shapes:
    """Latents to pixels."""
    current = size.vae_channels * size.vae_mult[-1]
    shapes = conv("conv_in", LATENT_CHANNELS, current, 3) | under("mid.", vae_middle(current))
    for level, mult in reversed(list(enumerate(size.vae_mult))):
        for block in range(size.blocks + 1):
            outputs = size.vae_channels * mult
            shapes |= under(f"up.{level}.block.{block}.", vae_resblock(current, outputs))
            current = outputs
        if level:
            shapes |= conv(f"up.{level}.upsample.conv", current, current, 3)
    return shapes | norm("norm_out", current) | conv("conv_out", current, 3, 3)


def autoencoder(size: Size) -> Shapes:
    """The autoencoder, under the names of `AutoencoderKL`."""
    return (
        under("encoder.", vae_encoder(size))
        | under("decoder.", vae_decoder(size))
        | conv("quant_conv", 2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        | conv("post_quant_conv", LATENT_CHANNELS, LATENT_CHANNELS, 1)
    )


def text_encoder(size: Size) -> Shapes:
    """CLIP's text encoder, under the names of transformers' `CLIPTextModel`."""
    width = size.text_width
    layer: Shapes = {}
    for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
        layer |= linear(f"self_attn.{name}", width, width)
    layer |= norm("layer_norm1", width) | norm("layer_norm2", width)
    layer |= linear("mlp.fc1", width, 4 * width) | linear("mlp.fc2", 4 * width, width)
    shapes: Shapes = {
        "embeddings.token_embedding.weight": (size.vocabulary, width),
        "embeddings.position_embedding.weight": (CONTEXT_LENGTH, width),
    }
    for number in range(size.text_layers):
        shapes |= under(f"encoder.layers.{number}.", layer)
    return under("text_model.", shapes | norm("final_layer_norm", width))


def weights(size: Size) -> Shapes:
    """Every learned tensor of the checkpoint."""
    return under(UNET, unet(size)) | under(VAE, autoencoder(size)) | under(TEXT, text_encoder(size))


# --- values ---------------------------------------------------------------------------------------


def uniform_exponent(fan_in: int) -> int:
    """K for which the uniform distribution on +-2**-k has a variance nearest to 1 / fan_in.

    That variance is 4**-k / 3 and keeps the size of activations from layer to layer (LeCun
    initialization). Nearest in ratio, in integers, so that no rounding differs between machines.
    """
    k = 0
    while 3 * 4 ** (k + 1) <= 2 * fan_in:
        k += 1
    return k


def high_bytes(k: int) -> bytes:
    """The table from a random byte to the high byte of a half-precision number on +-2**-k.

    The byte's top bit is the sign; the other seven are read as a magnitude in units of
    2**-(k+7), whose leading one gives the exponent and the two bits after it the start of the
    mantissa. So every code stands for an interval of the right length; only the lowest code, for
    magnitudes under one unit, is approximated by half a unit to one.
    """
    table = bytearray()
    for code in range(256):
        sign, magnitude = code >> 7, code & 0x7F
        shift = 7 - magnitude.bit_length()
        # 15 is the bias of the exponent; 2**-(k+1) is the start of the topmost interval.
        exponent = 15 - (k + 1) - shift
        if exponent < 1:
            raise ValueError(f"2**-{k} is too small for normal half-precision numbers")
        table.append(sign << 7 | exponent << 2 | (magnitude << shift >> 4) & 3)
    return bytes(table)


def uniform_halves(name: str, count: int, k: int) -> bytes:
    """`count` half-precision numbers, little endian, uniform on +-2**-k; they depend on `name`."""
    noise = hashlib.shake_256(name.encode()).digest(2 * count)
    data = bytearray(2 * count)
    data[0::2] = noise[:count]
    data[1::2] = noise[count:].translate(high_bytes(k))
    return bytes(data)


def weight_bytes(name: str, shape: Shape) -> bytes:
    """The values of a learned tensor: ones for norm scales, small biases, fan-in scaled weights."""
    count = math.prod(shape)
    if len(shape) > 1:
        return uniform_halves(name, count, uniform_exponent(math.prod(shape[1:])))
    if name.endswith(".weight"):
        return struct.pack("<e", 1.0) * count
    # Not zero, so that a bias that is loaded into the wrong place changes the picture.
    return uniform_halves(name, count, 4)


def schedule() -> dict[str, list[Decimal]]:
    """The diffusion schedule as a checkpoint carries it, under the names of `ddpm.DDPM`.

    Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models" (2020), equations 4 to 7. In
    decimal arithmetic, whose results are defined to the last digit, unlike those of a libm.
    """
    with localcontext() as context:
        context.prec = 40
        low, high = Decimal(LINEAR_START).sqrt(), Decimal(LINEAR_END).sqrt()
        betas = [(low + (high - low) * i / (TIMESTEPS - 1)) ** 2 for i in range(TIMESTEPS)]
        kept: list[Decimal] = []
        for beta in betas:
            kept.append((kept[-1] if kept else Decimal(1)) * (1 - beta))
        before = [Decimal(1), *kept[:-1]]
        variance = [b * (1 - p) / (1 - a) for b, p, a in zip(betas, before, kept, strict=True)]
        # The first variance is zero, and so is clipped before its logarithm is taken.
        floor = Decimal("1e-20")
        return {
            "betas": betas,
            "alphas_cumprod": kept,
            "alphas_cumprod_prev": before,
            "sqrt_alphas_cumprod": [a.sqrt() for a in kept],
            "sqrt_one_minus_alphas_cumprod": [(1 - a).sqrt() for a in kept],
            "log_one_minus_alphas_cumprod": [(1 - a).ln() for a in kept],
            "sqrt_recip_alphas_cumprod": [(1 / a).sqrt() for a in kept],
            "sqrt_recipm1_alphas_cumprod": [(1 / a - 1).sqrt() for a in kept],
            "posterior_variance": variance,
            "posterior_log_variance_clipped": [max(v, floor).ln() for v in variance],
            "posterior_mean_coef1": [
                b * p.sqrt() / (1 - a) for b, p, a in zip(betas, before, kept, strict=True)
            ],
            "posterior_mean_coef2": [
                (1 - p) * (1 - b).sqrt() / (1 - a)
                for b, p, a in zip(betas, before, kept, strict=True)
            ],
        }


# --- the safetensors file -------------------------------------------------------------------------


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file; `data` makes its bytes when they are wanted."""

    name: str
    dtype: str
    shape: Shape
    data: Callable[[], bytes]

    @property
    def nbytes(self) -> int:
        """The size of the tensor in bytes."""
        return math.prod(self.shape) * {"F16": 2, "I64": 8}[self.dtype]


def tensors(size: Size) -> list[Tensor]:
    """Every tensor of the checkpoint, in the order of the file: widest type first, then by name."""
    found = [
        Tensor(name, "F16", shape, partial(weight_bytes, name, shape))
        for name, shape in weights(size).items()
    ]
    for name, values in schedule().items():
        halves = struct.pack(f"<{TIMESTEPS}e", *map(float, values))
        found.append(Tensor(name, "F16", (TIMESTEPS,), partial(bytes, halves)))
    positions = struct.pack(f"<{CONTEXT_LENGTH}q", *range(CONTEXT_LENGTH))
    name = f"{TEXT}text_model.embeddings.position_ids"
    found.append(Tensor(name, "I64", (1, CONTEXT_LENGTH), partial(bytes, positions)))
    return sorted(found, key=lambda tensor: (tensor.dtype != "I64", tensor.name))


def header(contents: list[Tensor]) -> bytes:
    """The length and the JSON header of a safetensors file, padded to eight bytes."""
    entries: dict[str, object] = {}
    start = 0
    for tensor in contents:
        end = start + tensor.nbytes
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def checkpoint(size: Size) -> Iterator[bytes]:
    """The checkpoint file, piece by piece."""
    contents = tensors(size)
    yield header(contents)
    for tensor in contents:
        yield tensor.data()


# --- tokenizer and text encoder -------------------------------------------------------------------

START, END = "<|startoftext|>", "<|endoftext|>"
# Spelled by one token each in the tiny vocabulary, so that ordinary prompts stay short.
WORDS = (
    *("a", "an", "and", "the", "of", "in", "on", "at", "with", "to", "by"),
    *("photo", "painting", "portrait", "picture", "image", "art", "style", "light"),
    *("cat", "dog", "man", "woman", "house", "tree", "city", "sea", "sky", "night", "day"),
    *("red", "green", "blue", "black", "white", "low", "high", "quality", "detailed", "blurry"),
)


def byte_symbols() -> list[str]:
    """One printable character for each byte, in the order of CLIP's vocabulary.

    Printable bytes stand for themselves, the others for the characters from U+0100 on (the byte
    alphabet of GPT-2, which CLIP took over).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [*map(chr, printable), *(chr(256 + index) for index in range(len(others)))]


def merges() -> list[tuple[str, str]]:
    """The byte-pair merges that spell each of `WORDS` from left to right."""
    found: dict[tuple[str, str], None] = {}
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            found[pieces[0], pieces[1]] = None
            pieces[:2] = ["".join(pieces[:2])]
    return list(found)


def vocabulary() -> dict[str, int]:
    """The token numbers: bytes, bytes at a word's end, merged tokens, start and end."""
    symbols = byte_symbols()
    merged = [first + second for first, second in merges()]
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *merged, START, END]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def dump(content: object) -> bytes:
    """JSON as a file's content."""
    return (json.dumps(content, indent=2, ensure_ascii=True) + "\n").encode()


def clip_config(size: Size) -> dict[str, object]:
    """The configuration of transformers' `CLIPTextModel`."""
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "hidden_size": size.text_width,
        "intermediate_size": 4 * size.text_width,
        "num_hidden_layers": size.text_layers,
        "num_attention_heads": size.text_heads,
        "max_position_embeddings": CONTEXT_LENGTH,
        "vocab_size": size.vocabulary,
        "projection_dim": size.text_width,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-05,
        "attention_dropout": 0.0,
        "bos_token_id": size.vocabulary - 2,
        "eos_token_id": size.vocabulary - 1,
        "pad_token_id": size.vocabulary - 1,
        "torch_dtype": "float16",
    }


def clip_folder(size: Size) -> dict[str, bytes]:
    """The files of a text encoder's folder as transformers reads them, tokenizer included."""
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    tokenizer = special | {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": CONTEXT_LENGTH,
        "tokenizer_class": "CLIPTokenizer",
    }
    pairs = "".join(f"{first} {second}\n" for first, second in merges())
    return {
        "config.json": dump(clip_config(size)),
        "vocab.json": dump(vocabulary()),
        "merges.txt": b"#version: 0.2\n" + pairs.encode(),
        "tokenizer_config.json": dump(tokenizer),
        "special_tokens_map.json": dump(special),
    }


# --- configuration and sizes ----------------------------------------------------------------------


def ldm_config(size: Size, text_encoder_folder: str) -> bytes:
    """The model configuration that loaders of LDM checkpoints read, as YAML.

    Written as JSON, of which YAML is a superset, so that no YAML library is needed here.
    """
    unet_params = {
        "image_size": 32,
        "in_channels": LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS,
        "model_channels": size.channels,
        "attention_resolutions": list(size.attention_at),
        "num_res_blocks": size.blocks,
        "channel_mult": list(size.channel_mult),
        "num_heads": size.heads,
        "use_spatial_transformer": True,
        "transformer_depth": 1,
        "context_dim": size.text_width,
        "use_checkpoint": False,
        "legacy": False,
    }
    vae_params = {
        "double_z": True,
        "z_channels": LATENT_CHANNELS,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": size.vae_channels,
        "ch_mult": list(size.vae_mult),
        "num_res_blocks": size.blocks,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {
        "linear_start": float(LINEAR_START),
        "linear_end": float(LINEAR_END),
        "num_timesteps_cond": 1,
        "log_every_t": 200,
        "timesteps": TIMESTEPS,
        "first_stage_key": "jpg",
        "cond_stage_key": "txt",
        "image_size": 64,
        "channels": LATENT_CHANNELS,
        "cond_stage_trainable": False,
        "conditioning_key": "crossattn",
        "monitor": "val/loss_simple_ema",
        "scale_factor": 0.18215,
        "use_ema": False,
        "unet_config": {
            "target": "ldm.modules.diffusionmodules.openaimodel.UNetModel",
            "params": unet_params,
        },
        "first_stage_config": {
            "target": "ldm.models.autoencoder.AutoencoderKL",
            "params": {
                "embed_dim": LATENT_CHANNELS,
                "monitor": "val/rec_loss",
                "ddconfig": vae_params,
                "lossconfig": {"target": "torch.nn.Identity"},
            },
        },
        "cond_stage_config": {
            "target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder",
            "params": {"version": text_encoder_folder},
        },
    }
    model = {
        "base_learning_rate": 0.0001,
        "target": "ldm.models.diffusion.ddpm.LatentDiffusion",
        "params": params,
    }
    return (json.dumps({"model": model}, indent=2) + "\n").encode()


# 49,408 is CLIP's vocabulary; the tiny model's is counted from its own tokenizer.
SD15 = Size("sd15", 320, (1, 2, 4, 4), 8, 128, (1, 2, 4, 4), 768, 12, 12, 49_408)
TINY = Size("tiny", 32, (1, 2, 2, 2), 4, 32, (1, 1, 2, 2), 64, 2, 4, len(vocabulary()))
SIZES = {size.name: size for size in (TINY, SD15)}


# --- writing --------------------------------------------------------------------------------------


def write_atomically(path: Path, content: Iterable[bytes]) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial_file.open("wb") as stream:
            for piece in content:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        partial_file.replace(path)
    finally:
        partial_file.unlink(missing_ok=True)


def write(size: Size, output: Path, models_folder: str) -> None:
    """Write the checkpoint and what belongs to it; raises OSError.

    `models_folder` is where the files will lie when they are used. SD1.5's text encoder is known to
    loaders by its name; the tiny one has a folder of its own.
    """
    text_encoder = "openai/clip-vit-large-patch14"
    if size is TINY:
        text_encoder = f"{models_folder}/{size.name}-clip"
        for name, content in clip_folder(size).items():
            write_atomically(output / f"{size.name}-clip" / name, [content])
    write_atomically(output / f"{size.name}.yaml", [ldm_config(size, text_encoder)])
    write_atomically(output / f"{size.name}.safetensors", checkpoint(size))


def main(arguments: list[str] | None = None) -> int:
    """Write the model; 0 when it is there, 1 when the disk refused, 2 on wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python docker/sandbox/tiny_model.py", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("output", type=Path, metavar="OUTPUT_DIR", help="made if it is not there")
    parser.add_argument("--size", choices=SIZES, default=TINY.name)
    parser.add_argument(
        "--models-folder",
        default="/models",
        help="where the files will lie when they are used (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        write(SIZES[options.size], options.output, options.models_folder)
    except OSError as error:
        print(
            f"tiny_model.py: cannot write {error.filename or options.output}: {error.strerror}. "
            "Choose a folder that is writable and has room for the model.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
