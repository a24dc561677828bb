"""Pages by the attention they would really get: the ceiling for every other way of choosing.

Reads all keys, so it saves nothing; it is there to be measured against.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from memagent.kernels.api import attend_pages
from memagent.streaming.selectors.base import Far, PageSelector

__all__ = ["Oracle"]


@dataclass(frozen=True)
class Oracle(PageSelector):
    """Scores a page by its share of the attention over all far pages, each kv head for itself."""

    def score(self, far: Far, q: Tensor) -> Tensor:
        """[B, Hkv, pages]."""
        batch, heads, tokens, _ = q.shape
        page = torch.arange(far.pages, device=q.device)
        lists = page.expand(batch, 1, -1).contiguous()
        lo = (far.first - page * far.page).clamp(min=0).expand_as(lists)
        hi = (far.until - page * far.page).clamp(max=far.page).expand_as(lists)
        found = attend_pages(
            q,
            torch.full((batch, tokens), far.distance, device=q.device),
            far.cache.k,
            far.cache.v,
            far.cache.resolve(lists),
            torch.zeros_like(lists),
            lo,
            hi,
            lists,
            torch.zeros(batch, 1, far.pages, device=q.device),
            far.inv_freq,
            far.scale,
        )
        assert found.group_mass is not None
        kv_heads = far.cache.k.shape[1]
        return found.group_mass.view(batch, kv_heads, heads // kv_heads, -1).sum(2)
