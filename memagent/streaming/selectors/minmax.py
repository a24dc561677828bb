"""Pages by an upper bound of the dot products with their keys, for each kv head separately.

Source: "Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference", arXiv:2406.10774.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memagent.streaming.selectors.base import Far, PageSelector

__all__ = ["MinMax"]


@dataclass(frozen=True)
class MinMax(PageSelector):
    """Scores a page by the largest dot product of any key between its minimum and maximum."""

    needs: ClassVar[frozenset[str]] = frozenset({"low", "high"})

    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """[B, Hkv, pages]."""
        return far.share(q, seen, low=far.summaries["low"], high=far.summaries["high"])
