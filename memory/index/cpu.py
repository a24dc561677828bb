"""How a model's products are computed on a CPU; knows nothing of texts and models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

__all__ = ["fast_products", "on_one_thread"]


def fast_products(device: str) -> AbstractContextManager[Any]:
    """bfloat16 products on processors that have them: 2.7 times the texts per second.

    The vectors differ from those in float32 by a cosine of 0.00003, less than the rounding to
    float16 with which they are stored.
    """
    import torch

    if device != "cpu":
        return nullcontext()
    abilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    native = abilities.get("avx512_bf16") or abilities.get("amx_bf16")
    return torch.autocast("cpu", dtype=torch.bfloat16) if native else nullcontext()


@contextmanager
def on_one_thread() -> Iterator[None]:
    """For what is too small to share out: threads that wait for one another at every product wait
    long where others use the processor, a server's spinning threads above all."""
    import torch

    before = _threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _threads() -> int:
    """The threads that torch began with; what it says later may be the 1 of another thread."""
    import torch

    return torch.get_num_threads()
