"""Pages by an upper bound of any of their products, each kv head for itself.

Source: "Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference", arXiv:2406.10774.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memagent.kernels.api import score_pages
from memagent.streaming.selectors.base import Far, PageSelector

__all__ = ["MinMax"]


@dataclass(frozen=True)
class MinMax(PageSelector):
    """Scores a page by the most that a key between its smallest and largest numbers could give."""

    needs: ClassVar[frozenset[str]] = frozenset({"low", "high"})

    def score(self, far: Far, q: Tensor) -> Tensor:
        """[B, Hkv, pages]."""
        low, high = far.summaries["low"], far.summaries["high"]
        return far.whole(score_pages(far.turned(q), low=low, high=high))
