"""Blocks by the key of the landmark token that ends them, and their neighbours.

Sources: "Landmark Attention: Random-Access Infinite Context Length for Transformers",
arXiv:2305.16300; the contiguity of "Human-like Episodic Memory for Infinite Context LLMs" (EM-LLM,
arXiv:2407.09450).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memagent.streaming.selectors.base import Far, PageSelector

__all__ = ["Landmark", "with_neighbours"]

# A block gets at least this share of its better neighbour's score. If a sentence is split between
# two blocks, only one of the two landmarks can be expected to match.
_NEIGHBOUR_SHARE = 0.95


@dataclass(frozen=True)
class Landmark(PageSelector):
    """Makes one choice for all heads of a layer, since they continue from one another's blocks.

    The score of a block is the attention weight of its landmark, the last slot of the page, summed
    over the kv heads, but at least 0.95 of the score of its neighbours.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"last"})

    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """[B, 1, pages]."""
        share = far.share(q, seen, mean=far.summaries["last"])
        return with_neighbours(share.clamp(min=0).sum(1, keepdim=True))


def with_neighbours(scores: Tensor, share: float = _NEIGHBOUR_SHARE) -> Tensor:
    """Scores [..., blocks], raised to at least `share` of the scores of the adjacent blocks."""
    neighbours = torch.zeros_like(scores)
    neighbours[..., 1:] = scores[..., :-1]
    neighbours[..., :-1] = torch.maximum(neighbours[..., :-1], scores[..., 1:])
    return torch.maximum(scores, share * neighbours)
