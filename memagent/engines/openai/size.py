"""The number of parameters of a served model, as far as its name or its files tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["model_size"]

# "Qwen2.5-1.5B-Instruct", "llama3.2:3b", "SmolLM2-135M"; of a mixture ("8x7B") the whole.
_SIZE = re.compile(
    r"(?<![\d.a-z])(?:(\d+)x)?(\d+(?:\.\d+)?)\s?(b|m)(?:illion)?(?![a-z\d])", re.IGNORECASE
)
_BYTES_PER_PARAMETER = 2.0


def model_size(listed: Mapping[str, Any]) -> float | None:
    """Billions of parameters of a model as /v1/models lists it; None if nothing tells.

    llama.cpp lists the number itself (`meta.n_params`); most names hold it; and the weights of a
    model served from a folder of this machine can be measured, at two bytes a parameter.
    """
    meta = listed.get("meta")
    count = meta.get("n_params") if isinstance(meta, dict) else None
    if isinstance(count, int) and count > 0:
        return count / 1e9
    for name in (listed.get("root"), listed.get("id")):
        if isinstance(name, str) and (size := _named(name)) is not None:
            return size
    root = listed.get("root")
    return _measured(Path(root)) if isinstance(root, str) else None


def _named(name: str) -> float | None:
    found = _SIZE.findall(name.replace("\\", "/").rsplit("/", 1)[-1])
    if not found:
        return None
    experts, number, unit = found[-1]
    return int(experts or 1) * float(number) / (1 if unit.lower() == "b" else 1000)


def _measured(folder: Path) -> float | None:
    try:
        held = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    except OSError:
        return None
    return held / _BYTES_PER_PARAMETER / 1e9 if held else None
