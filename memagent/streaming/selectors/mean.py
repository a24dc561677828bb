"""Pages by the mean of their keys, one choice for all heads of a layer.

The baseline with which InfLLM (arXiv:2402.04617) compares its representative tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memagent.streaming.selectors.base import Far, PageSelector

__all__ = ["Mean"]


@dataclass(frozen=True)
class Mean(PageSelector):
    """Scores a page by its mean key, with the softmax shares of the kv heads summed."""

    needs: ClassVar[frozenset[str]] = frozenset({"mean"})

    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """[B, 1, pages]."""
        return far.share(q, seen, mean=far.summaries["mean"]).sum(1, keepdim=True)
