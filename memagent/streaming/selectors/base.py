"""The interface of selectors: what they see of the far history and what they return.

A selector is one file in this folder and one line in `table.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memagent.kernels.api import score_pages, select_pages
from memagent.kernels.rope import rotate
from memagent.streaming.cache import LayerCache
from memagent.streaming.page_ranges import PageRanges
from memagent.streaming.summaries import Summaries
from memagent.streaming.token_ranges import TokenRange

__all__ = ["Far", "PageSelector", "Selector"]


@dataclass(frozen=True, slots=True)
class Far:
    """The history of one layer before the window, at one step. Sizes are in tokens.

    - page: slots of a page
    - first, until: the tokens [first, until) may be chosen, at most `budget` of them
    - contiguity: share of the budget for the neighbours of chosen events
    - least: smallest size of an event as a rule
    - distance: distance at which all pages are scored, so that their order does not matter
    - cache, summaries: keys and values, and the summary keys, of the layer
    - events: the events of each row
    - hidden: ranges of each row that must not be chosen
    - pinned: ranges of each row that must be chosen if the budget allows
    - inv_freq, scale: RoPE frequencies [D/2] and factor of the logits
    - separate_events: attention mass is collected, so adjacent events stay separate groups
    """

    page: int
    first: int
    until: int
    budget: int
    contiguity: float
    least: int
    distance: int
    cache: LayerCache
    summaries: Summaries
    events: list[list[TokenRange]]
    hidden: list[list[TokenRange]]
    pinned: list[list[TokenRange]]
    inv_freq: Tensor
    scale: float
    separate_events: bool

    @property
    def pages(self) -> int:
        """Number of pages that start before `until`."""
        return -(-self.until // self.page)

    def ended(self, row: int) -> int:
        """Number of events of the row that end by `until`."""
        return bisect_right(self.events[row], self.until, key=lambda event: event[1])

    def share(
        self,
        q: Tensor,
        seen: Tensor,
        mean: Tensor | None = None,
        low: Tensor | None = None,
        high: Tensor | None = None,
    ) -> Tensor:
        """The largest share of the attention of any query that each key would get: [B, Hkv, N].

        q [B, Hq, T, D] unrotated; keys as for `score_pages`, N of them or, if the last page is not
        full, fewer. Only the keys of `seen` [B, 1, N] compete. The softmax is taken for each query
        of each head; the maximum keeps many uncertain heads from outvoting a certain one.
        """
        count = seen.shape[-1]
        position = torch.full((1, 1, 1), self.distance, device=q.device)
        rotated, best = rotate(q, position, self.inv_freq), []
        step = max(1, _BLOCK_FLOATS // (q.shape[0] * q.shape[1] * max(count, 1)))
        for start in range(0, q.shape[2], step):
            part = rotated[:, :, start : start + step]
            logits = score_pages(part, mean, low, high, reduce="none")
            logits = logits[..., :count] * self.scale
            missing = (0, count - logits.shape[-1])
            logits = torch.nn.functional.pad(logits, missing, value=float("-inf"))
            logits = logits.masked_fill(~seen[:, :, None], float("-inf"))
            top = logits.amax(-1, keepdim=True).clamp(min=-1e30)
            weight = torch.exp(logits - top)
            best.append((weight / weight.sum(-1, keepdim=True).clamp(min=1e-30)).amax(2))
        return torch.stack(best).amax(0).masked_fill(~seen, float("-inf"))


# Floats in one block of logits; the queries of a long chunk are processed in several blocks.
_BLOCK_FLOATS = 1 << 24


class Selector(ABC):
    """A way of choosing from the far history. `needs` names the summaries that it reads."""

    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def choose(self, far: Far, q: Tensor, carry: PageRanges | None) -> PageRanges:
        """The ranges that the queries q [B, Hq, T, D] (unrotated) attend to.

        `carry` is the previous choice in this layer, or None.
        """


class PageSelector(Selector):
    """Chooses the pages with the highest scores, each as its own group."""

    @abstractmethod
    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """Scores [B, 1 or Hkv, far.pages] of the pages, in the order of the history.

        Only the pages of `seen` [B, 1, far.pages] compete.
        """

    def choose(self, far: Far, q: Tensor, carry: PageRanges | None) -> PageRanges:
        """The pages with the highest scores, as many as fit into the budget."""
        count = far.budget // far.page
        if far.until <= far.first or count < 1:
            return PageRanges.empty(q.shape[0], q.device)
        page = torch.arange(far.pages, device=q.device)
        lo = (far.first - page * far.page).clamp(min=0)
        hi = (far.until - page * far.page).clamp(max=far.page)
        first, end = page * far.page + lo, page * far.page + hi
        seen = (lo < hi).expand(q.shape[0], 1, -1).clone()
        for row, ranges in enumerate(far.hidden):
            for a, b in ranges:  # a page without visible tokens takes no budget
                seen[row] &= (first < a) | (end > b)
        scores = self.score(far, q, seen)
        for row, ranges in enumerate(far.pinned):
            for a, b in ranges:
                scores[row].masked_fill_((first < b) & (end > a), float("inf"))
        scores = scores.masked_fill(~seen, float("-inf"))
        chosen = select_pages(scores, count).long()
        kept = chosen >= 0
        some = chosen.clamp(min=0)
        group = torch.arange(1, count + 1, device=q.device).expand_as(chosen)
        return PageRanges(
            chosen,
            torch.where(kept, lo[some], 0),
            torch.where(kept, hi[some], 0),
            torch.where(kept, group, 0),
            count + 1,
        )
