"""Sinks and window only: nothing far is attended to.

Source: "Efficient Streaming Language Models with Attention Sinks" (StreamingLLM),
arXiv:2309.17453.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from memagent.streaming.selectors.base import Far, Selector
from memagent.streaming.stretches import Stretches

__all__ = ["Recent"]


@dataclass(frozen=True)
class Recent(Selector):
    """Chooses nothing."""

    def choose(self, far: Far, q: Tensor, carry: Stretches | None) -> Stretches:
        """No stretch."""
        return Stretches.none(q.shape[0], q.device)
