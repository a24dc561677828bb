"""Pages by the attention they would really get: the ceiling for every other way of choosing.

Reads all keys, so it saves nothing; it is there to be measured against.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memagent.kernels.api import attend_pages
from memagent.streaming.selectors.base import Far, PageSelector
from memagent.streaming.stretches import cut_holes, of_range

__all__ = ["Oracle"]


@dataclass(frozen=True)
class Oracle(PageSelector):
    """Scores a page by its share of the attention over all far pages, each kv head for itself."""

    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """[B, Hkv, pages]."""
        batch, heads, tokens, _ = q.shape
        every = of_range(far.first, far.until, far.page, batch, q.device)
        every = cut_holes(replace(every, group=every.page), far.hidden, far.page)
        pages = far.cache.resolve(every.page)  # first: the pool may grow
        found = attend_pages(
            q,
            # No slot of a page may lie behind the queries.
            torch.full((batch, tokens), max(far.distance, far.page - 1), device=q.device),
            far.cache.k,
            far.cache.v,
            pages,
            torch.zeros_like(every.page),
            every.lo,
            every.hi,
            every.group,
            q.new_zeros(batch, 1, far.pages),
            far.inv_freq,
            far.scale,
        )
        assert found.group_mass is not None
        kv_heads = far.cache.k.shape[1]
        return found.group_mass.view(batch, kv_heads, heads // kv_heads, -1).sum(2)
