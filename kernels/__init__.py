"""Attention kernels over pages; knows nothing of memory, prompts or the agent."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memagent.kernels.api import (
        AttentionParams,
        PageList,
        attend_pages,
        landmark_attention,
        merge_states,
        rotate_heads,
        score_pages,
        select_pages,
        summarize_pages,
    )

__all__ = [
    "AttentionParams",
    "PageList",
    "attend_pages",
    "landmark_attention",
    "merge_states",
    "rotate_heads",
    "score_pages",
    "select_pages",
    "summarize_pages",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("memagent.kernels.api"), name)
    raise AttributeError(f"module 'memagent.kernels' has no attribute {name!r}")
