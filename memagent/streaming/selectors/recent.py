"""Sinks and window only, without recall.

Source: "Efficient Streaming Language Models with Attention Sinks" (StreamingLLM),
arXiv:2309.17453.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from memagent.streaming.page_ranges import PageRanges
from memagent.streaming.selectors.base import Far, Selector

__all__ = ["Recent"]


@dataclass(frozen=True)
class Recent(Selector):
    """Chooses nothing."""

    def choose(self, far: Far, q: Tensor, carry: PageRanges | None) -> PageRanges:
        """No ranges."""
        return PageRanges.empty(q.shape[0], q.device)
