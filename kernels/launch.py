"""What the Triton kernels are started with: the decorator, tile sizes, the size of the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton

__all__ = ["INTERPRETED", "jit", "power_of_two", "precision", "processors"]

# Named with its type: Triton carries none, and an untyped decorator would untype every kernel.
jit: Callable[[Callable[..., Any]], Any] = triton.jit

# What TRITON_INTERPRET said when Triton was imported: only then do kernels take CPU tensors.
INTERPRETED: bool = triton.knobs.runtime.interpret


def power_of_two(number: int, least: int = 16) -> int:
    """The power of two that holds `number`; a side of a matrix product has at least 16."""
    return max(least, 1 << max(0, number - 1).bit_length())


def precision(dtype: torch.dtype) -> str:
    """How a product multiplies: float32 stays float32, the halves are exact either way."""
    return "ieee" if dtype == torch.float32 else "tf32"


def processors(device: torch.device) -> int:
    """Multiprocessors of a GPU; one where the interpreter runs the programs in turn."""
    if device.type != "cuda":
        return 1
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
