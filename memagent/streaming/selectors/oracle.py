"""Pages by the attention that they would get: the upper bound for every other selector.

It reads all keys, so it saves nothing and serves only as a reference in measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memagent.kernels.api import AttentionParams, PageList, attend_pages
from memagent.streaming.page_ranges import from_range, remove_tokens
from memagent.streaming.selectors.base import Far, PageSelector

__all__ = ["Oracle"]


@dataclass(frozen=True)
class Oracle(PageSelector):
    """Scores a page by its share of the attention over all far pages, for each kv head."""

    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """[B, Hkv, pages]."""
        batch, heads, tokens, _ = q.shape
        every = from_range(far.first, far.until, far.page, batch, q.device)
        every = remove_tokens(replace(every, group=every.page), far.hidden, far.page)
        page_list = PageList(
            far.cache.resolve(every.page),  # before cache.k is read: the pool may grow
            torch.zeros_like(every.page),
            every.lo,
            every.hi,
            every.group,
            q.new_zeros(batch, 1, far.pages),
        )
        found = attend_pages(
            q,
            # The queries come after every slot of a page.
            torch.full((batch, tokens), max(far.distance, far.page - 1), device=q.device),
            far.cache.k,
            far.cache.v,
            page_list,
            AttentionParams(far.inv_freq, far.scale),
        )
        assert found.group_mass is not None
        kv_heads = far.cache.k.shape[1]
        return found.group_mass.view(batch, kv_heads, heads // kv_heads, -1).sum(2)
