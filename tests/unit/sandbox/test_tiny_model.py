"""The generated checkpoint: the layout of SD1.x, the same bytes every time, and no bad number."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import SD15, TINY, Size

GENERATOR = Path(tiny_model.__file__)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, written by the command as `lock` runs it."""
    folder = tmp_path_factory.mktemp("model") / "new"
    subprocess.run([sys.executable, GENERATOR, folder], check=True)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def tensors_of(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, read by the format's definition."""
    data = file.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    types = {"F16": "<f2", "I64": "<i8"}
    found, expected = {}, 0
    for name, entry in json.loads(data[8 : 8 + length]).items():
        start, end = entry["data_offsets"]
        assert start == expected, f"a hole or an overlap before {name}"
        values = np.frombuffer(data[8 + length + start : 8 + length + end], types[entry["dtype"]])
        found[name], expected = values.reshape(entry["shape"]), end
    assert 8 + length + expected == len(data), "bytes after the last tensor"
    assert (8 + length) % 8 == 0, "the data is not aligned"
    return found


def size_in_bytes(size: Size) -> int:
    """The size of a checkpoint's file, without making its weights."""
    contents = tiny_model.tensors(size)
    return len(tiny_model.header(contents)) + sum(tensor.nbytes for tensor in contents)


def test_sd15_has_the_tensors_and_the_size_of_the_real_checkpoint() -> None:
    """1,143 tensors and 2,132,650,982 bytes, as measured on a half-precision SD1.5 checkpoint."""
    assert len(tiny_model.tensors(SD15)) == 1143
    assert size_in_bytes(SD15) == 2_132_650_982


def test_sd15_has_the_published_numbers_of_parameters() -> None:
    """UNet, autoencoder and text encoder of Stable Diffusion 1.x."""

    def count(shapes: tiny_model.Shapes) -> int:
        return sum(math.prod(shape) for shape in shapes.values())

    assert count(tiny_model.unet(SD15)) == 859_520_964
    assert count(tiny_model.autoencoder(SD15)) == 83_653_863
    assert count(tiny_model.text_encoder(SD15)) == 123_060_480


def test_tiny_has_attention_wherever_sd15_has_it() -> None:
    """The tiny model has the topology of the real one."""

    def attention(size: Size) -> set[str]:
        return {name for name in tiny_model.unet(size) if ".attn" in name}

    assert attention(TINY) == attention(SD15)
    assert {name.rpartition(".")[0] for name in tiny_model.autoencoder(TINY) if "attn" in name} == {
        name.rpartition(".")[0] for name in tiny_model.autoencoder(SD15) if "attn" in name
    }


def test_two_runs_write_the_same_bytes(generated: Path, tmp_path: Path) -> None:
    """Also from another working folder, with another hash seed and another time zone."""
    environment = {**os.environ, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    subprocess.run([sys.executable, GENERATOR, "again"], check=True, cwd=tmp_path, env=environment)
    assert read(tmp_path / "again") == read(generated)


def test_the_file_is_small_and_whole(generated: Path) -> None:
    """Every tensor lies where the header says, and nothing else is in the folder."""
    assert set(read(generated)) == {
        "tiny.safetensors",
        "tiny.yaml",
        *(
            f"tiny-clip/{name}"
            for name in (
                "config.json",
                "vocab.json",
                "merges.txt",
                "tokenizer_config.json",
                "special_tokens_map.json",
            )
        ),
    }
    file = generated / "tiny.safetensors"
    assert file.stat().st_size == size_in_bytes(TINY) < 20e6
    assert {name: array.shape for name, array in tensors_of(file).items()} == {
        tensor.name: tensor.shape for tensor in tiny_model.tensors(TINY)
    }


def test_no_number_is_infinite_or_missing(generated: Path) -> None:
    """No NaN or infinity in any tensor, and no tensor of weights that is all the same."""
    for name, array in tensors_of(generated / "tiny.safetensors").items():
        assert np.isfinite(array).all(), name
        if array.ndim > 1:
            assert array.std() > 0, name


def test_weights_keep_the_size_of_activations(generated: Path) -> None:
    """Centred, and of variance 1 / fan-in within the factor of two that powers of two leave."""
    for name, array in tensors_of(generated / "tiny.safetensors").items():
        if array.ndim > 1 and array.dtype == np.float16 and array.size > 4096:
            values = array.astype(np.float64)
            scaled = values.var() * math.prod(array.shape[1:])
            assert 0.45 < scaled < 2.2, name
            assert abs(values.mean()) < 5 * values.std() / math.sqrt(array.size), name


@given(st.integers(1, 1 << 20))
def test_the_exponent_is_the_nearest(fan_in: int) -> None:
    """No other power of two gives a variance nearer, in ratio, to 1 / fan_in."""
    variance = 4.0 ** -tiny_model.uniform_exponent(fan_in) / 3
    assert variance * fan_in < 2.001 or fan_in == 1
    assert variance * fan_in > 0.499 or tiny_model.uniform_exponent(fan_in) == 0


@given(st.integers(0, 6))
def test_random_bytes_become_uniform_numbers(k: int) -> None:
    """Each of 128 magnitudes stands for its own 128th of the range, and signs for themselves."""
    table = tiny_model.high_bytes(k)
    assert len(table) == 256
    highs = np.array([table[code] << 8 for code in range(256)], np.uint16).view(np.float16)
    unit = 2.0 ** -(k + 7)
    assert np.allclose(np.abs(highs[1:128]), unit * np.arange(1, 128), atol=0, rtol=0.34)
    lows = np.array([table[code] << 8 | 0xFF for code in range(128)], np.uint16).view(np.float16)
    assert (highs[1:128] < lows[1:]).all()
    assert lows.max() < 2.0**-k
    assert (highs[128:] == -highs[:128]).all()


def test_a_range_too_small_for_half_precision_is_refused() -> None:
    """Subnormal numbers would be treated differently by different hardware."""
    with pytest.raises(ValueError, match="too small"):
        tiny_model.high_bytes(7)


def test_other_names_have_other_weights() -> None:
    """Two layers of one shape are not the same layer."""
    first = tiny_model.weight_bytes("a.weight", (64, 64))
    assert first == tiny_model.weight_bytes("a.weight", (64, 64))
    assert first != tiny_model.weight_bytes("b.weight", (64, 64))


def test_the_schedule_is_that_of_stable_diffusion() -> None:
    """Against the same formulas in double precision."""
    made = tiny_model.schedule()
    betas = np.linspace(0.00085**0.5, 0.0120**0.5, 1000) ** 2
    kept = np.cumprod(1 - betas)
    before = np.append(1.0, kept[:-1])
    variance = betas * (1 - before) / (1 - kept)
    expected = {
        "betas": betas,
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": np.sqrt(kept),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - kept),
        "log_one_minus_alphas_cumprod": np.log(1 - kept),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / kept),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / kept - 1),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": betas * np.sqrt(before) / (1 - kept),
        "posterior_mean_coef2": (1 - before) * np.sqrt(1 - betas) / (1 - kept),
    }
    assert set(made) == set(expected)
    for name, values in made.items():
        assert all(isinstance(value, Decimal) for value in values)
        assert np.allclose([float(value) for value in values], expected[name], rtol=1e-9), name


def test_the_vocabulary_covers_every_byte_and_every_merge() -> None:
    """Any prompt can be spelled, and start and end come last, as CLIP has them."""
    vocabulary = tiny_model.vocabulary()
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert len(set(tiny_model.byte_symbols())) == 256
    for symbol in tiny_model.byte_symbols():
        assert {symbol, f"{symbol}</w>"} <= set(vocabulary)
    for first, second in tiny_model.merges():
        assert {first, second, first + second} <= set(vocabulary)
    for word in tiny_model.WORDS:
        assert f"{word}</w>" in vocabulary
    assert vocabulary[tiny_model.END] == vocabulary[tiny_model.START] + 1 == len(vocabulary) - 1


def test_the_config_names_the_folder_where_the_model_will_lie(tmp_path: Path) -> None:
    """The text encoder is found below /models unless another folder is given."""

    def version(*arguments: str) -> str:
        assert tiny_model.main([str(tmp_path), *arguments]) == 0
        params = json.loads((tmp_path / "tiny.yaml").read_text())["model"]["params"]
        return str(params["cond_stage_config"]["params"]["version"])

    assert version() == "/models/tiny-clip"
    assert version("--models-folder", "/elsewhere") == "/elsewhere/tiny-clip"


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, a message with the path, and no traceback."""
    (tmp_path / "file").write_text("in the way")
    assert tiny_model.main([str(tmp_path / "file")]) == 1
    message = capsys.readouterr().err
    assert str(tmp_path / "file") in message
    assert "Traceback" not in message


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither a partial file nor a damaged old one."""
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        tiny_model.write_atomically(target, broken())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"
