"""Blocks by the key of the landmark token that closes them, and the blocks beside those.

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

# What a block gets of the score of the better one beside it. A sentence cut by the end of a block
# is told by one of its two landmarks at best.
_BESIDE = 0.95


@dataclass(frozen=True)
class Landmark(PageSelector):
    """One choice for all heads of a layer: what one head alone sees, the others cannot go on from.

    A block's score is the sum over the kv heads of the weight of its landmark, the last slot of
    the page, or little less than a neighbour's.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"last"})

    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """[B, 1, pages]."""
        share = far.share(q, seen, mean=far.summaries["last"])
        return with_neighbours(share.clamp(min=0).sum(1, keepdim=True))


def with_neighbours(scores: Tensor, share: float = _BESIDE) -> Tensor:
    """Scores [..., blocks], at least `share` of those of the blocks beside."""
    beside = torch.zeros_like(scores)
    beside[..., 1:] = scores[..., :-1]
    beside[..., :-1] = torch.maximum(beside[..., :-1], scores[..., 1:])
    return torch.maximum(scores, share * beside)
