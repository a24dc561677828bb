"""Helpers for launching Triton kernels: the decorator, tile sizes, the number of processors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton

__all__ = ["INTERPRETED", "jit", "power_of_two", "precision", "processors"]

# Typed here: Triton has no types, and an untyped decorator would make every kernel untyped.
jit: Callable[[Callable[..., Any]], Any] = triton.jit

# TRITON_INTERPRET as it was when Triton was imported; only then do kernels accept CPU tensors.
INTERPRETED: bool = triton.knobs.runtime.interpret


def power_of_two(number: int, least: int = 16) -> int:
    """The smallest power of two >= `number` and `least`; matrix products need sides of 16."""
    return max(least, 1 << max(0, number - 1).bit_length())


def precision(dtype: torch.dtype) -> str:
    """Input precision of a matrix product: full for float32; half precision is exact anyway."""
    return "ieee" if dtype == torch.float32 else "tf32"


def processors(device: torch.device) -> int:
    """Multiprocessors of a GPU; 1 under the interpreter, which runs programs one by one."""
    if device.type != "cuda":
        return 1
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
