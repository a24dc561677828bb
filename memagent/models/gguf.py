"""GGUF files, the format of llama.cpp: check one, and convert it to a folder for Transformers."""

from __future__ import annotations

import mmap
import struct
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from memagent.errors import InputError, MemagentError

__all__ = ["check", "check_extra", "convert"]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
_ALIGNMENT = 32


def check_extra() -> None:
    """Raise MemagentError, with the cure, if a library that converting needs is not installed."""
    missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
    if missing:
        raise MemagentError(
            f"converting a GGUF file needs {' and '.join(missing)}: pip install 'memagent[models]'"
        )


def check(path: Path) -> None:
    """Raise InputError, in one line, if a file is not GGUF or not complete. Reads its header only.

    Raises MemagentError if the library `gguf`, which has the sizes of the types, is missing.
    """
    check_extra()
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise InputError(f"{path} is not a GGUF file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                facts, end = _header(data)
                size = len(data)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {str(error.strerror).lower()}") from error
    except (struct.error, ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{path} is damaged or cut off: download it again") from error
    if facts.get("split.count", 1) > 1:
        raise InputError(
            f"{path} is one part of several: join them with `llama-gguf-split --merge`"
        )
    if end > size:
        raise InputError(f"{path} is cut off: it has {size:,} of {end:,} bytes; download it again")


def convert(path: Path, folder: Path) -> None:
    """Write the model of a GGUF file to a folder: bfloat16 safetensors, tokenizer, chat template.

    Raises InputError if Transformers cannot read the file, for example because it does not know
    the architecture. Needs memory for all weights in bfloat16.
    """
    check(path)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    quiet: Any = logging
    quiet.disable_progress_bar()
    quiet.set_verbosity_error()
    source = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(**source)
        model: Any = AutoModelForCausalLM.from_pretrained(
            **source, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
        )
    except (ValueError, KeyError, RuntimeError, ImportError, AttributeError, TypeError) as error:
        why = str(error).strip().split("\n")[0]
        raise InputError(f"{path} cannot be converted by Transformers: {why}") from error
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _header(data: mmap.mmap) -> tuple[dict[str, Any], int]:
    """The scalar metadata of a file, and where its last tensor must end, in bytes."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    reader = _Reader(data, len(_MAGIC))
    if reader.number("I") not in _VERSIONS:
        raise ValueError("an unknown version, or one of a big-endian machine")
    tensors, entries = reader.number("Q"), reader.number("Q")
    facts = {}
    for _ in range(entries):
        key = reader.text().decode()
        facts[key] = reader.value(reader.number("I"))
    ends = [0]
    for _ in range(tensors):
        reader.text()
        shape = [reader.number("Q") for _ in range(reader.number("I"))]
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(reader.number("I"))]
        ends.append(reader.number("Q") + prod(shape) // block * size)
    alignment = facts.get("general.alignment", _ALIGNMENT)
    begin = -(-reader.at // alignment) * alignment
    return facts, begin + max(ends)


class _Reader:
    """Reads little-endian values one after the other; struct.error at the end of the data."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self.data = data
        self.at = at

    def number(self, kind: str) -> Any:
        """A number whose format character in `struct` is `kind`."""
        (value,) = struct.unpack_from(f"<{kind}", self.data, self.at)
        self.at += struct.calcsize(f"<{kind}")
        return value

    def text(self) -> bytes:
        """A string, behind its length."""
        length = self.number("Q")
        self.at += length
        return self.data[self.at - length : self.at]

    def value(self, kind: int) -> Any:
        """A value of a GGUF type; None for an array, which is skipped."""
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number(_SCALARS[kind])
        inner, count = self.number("I"), self.number("Q")
        if inner in _SCALARS:
            self.at += count * struct.calcsize(f"<{_SCALARS[inner]}")
        else:
            for _ in range(count):
                self.value(inner)
        return None
