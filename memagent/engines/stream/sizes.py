"""Sizes of a stream for a model: window, budget, pages on the device and in host memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from memagent.streaming.config import StreamConfig

__all__ = ["config_for", "host_pages"]

# Memory for keys and values: on the device of the model, and in host memory.
_HOT_BYTES = 2 << 30
_HOST_BYTES = 8 << 30


def config_for(model: PreTrainedModel, context: int, budget: int) -> StreamConfig:
    """Sizes for which every position stays within the `context` the model was trained on."""
    from memagent.streaming.config import StreamConfig

    chunk = max(16, min(512, context // 8))
    budget = min(budget, context // 2)
    sized = StreamConfig(
        window=max(16, min(4096, context - budget - 2 * chunk)), budget=budget, chunk=chunk
    )
    hot = _HOT_BYTES // _page_bytes(model, sized.page)
    return replace(sized, hot_pages=max(sized.least_pages, hot))


def host_pages(model: PreTrainedModel, page: int) -> int | None:
    """Number of pages in host memory for a model on a GPU; None for a model on the CPU."""
    from memagent.streaming.binding import layers_of

    if model.device.type == "cpu":
        return None
    return _HOST_BYTES * len(layers_of(model)) // _page_bytes(model, page)


def _page_bytes(model: PreTrainedModel, page: int) -> int:
    """Bytes of the keys and values of one page in all layers."""
    from memagent.streaming.binding import layers_of

    size = sum(2 * page * layer.kv_heads * layer.dim for layer in layers_of(model))
    return size * model.dtype.itemsize
