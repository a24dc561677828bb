"""Pages by the attention-weighted mean of their keys, for each kv head separately.

Source: "LongHeads: Multi-Head Attention is Secretly a Long Context Processor", arXiv:2402.10685.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from memagent.streaming.selectors.base import Far, PageSelector

__all__ = ["PerHead"]


@dataclass(frozen=True)
class PerHead(PageSelector):
    """Scores a page by the mean of its keys, weighted by the attention of later tokens."""

    needs: ClassVar[frozenset[str]] = frozenset({"weighted"})

    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """[B, Hkv, pages]."""
        return far.share(q, seen, mean=far.summaries["weighted"])
