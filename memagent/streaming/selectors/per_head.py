"""Pages by the mean of their keys, weighted by attention, each kv head for itself.

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
    """Stands for a page: its keys in the proportion in which later tokens attended to them."""

    needs: ClassVar[frozenset[str]] = frozenset({"weighted"})

    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """[B, Hkv, pages]."""
        return far.share(q, seen, mean=far.summaries["weighted"])
