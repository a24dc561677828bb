"""What a selector sees of the far history, and what it answers. One way of choosing a file."""

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
from memagent.streaming.stretches import Stretches
from memagent.streaming.summaries import Summaries

__all__ = ["Far", "PageSelector", "Selector"]


@dataclass(frozen=True, slots=True)
class Far:
    """The history before the window, as one layer has it at one moment.

    The tokens [first, until) may be chosen; `budget` of them at most. `events` are the events of
    each row as (start, end), of at least `least` tokens as a rule; as token ranges too, `hidden`
    is what must not be seen and `pinned` what must be, if the budget allows. `distance` is how far
    away pages are taken to be when they are scored: one for all, so that their order among one
    another does not matter. `apart` asks for the attention mass of each event, so that what
    adjoins must stay apart.
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
    events: list[list[tuple[int, int]]]
    hidden: list[list[tuple[int, int]]]
    pinned: list[list[tuple[int, int]]]
    inv_freq: Tensor
    scale: float
    apart: bool

    @property
    def pages(self) -> int:
        """Pages that begin before `until`."""
        return -(-self.until // self.page)

    def ended(self, row: int) -> int:
        """Events of the row that end by `until`."""
        return bisect_right(self.events[row], self.until, key=lambda span: span[1])

    def share(
        self,
        q: Tensor,
        seen: Tensor,
        mean: Tensor | None = None,
        low: Tensor | None = None,
        high: Tensor | None = None,
    ) -> Tensor:
        """How much of the attention of any of the queries each key would get: [B, Hkv, N].

        q [B, Hq, T, D] unrotated; the keys as for `score_pages`, N of them or, where a page is
        still being filled, less. Only those of `seen` [B, 1, N] compete. The softmax is taken for
        each query of each head, and the largest share counts: one head that is sure is not
        outvoted by many that are not.
        """
        count = seen.shape[-1]
        place = torch.full((1, 1, 1), self.distance, device=q.device)
        turned, best = rotate(q, place, self.inv_freq), []
        step = max(1, _AT_ONCE // (q.shape[0] * q.shape[1] * max(count, 1)))
        for start in range(0, q.shape[2], step):
            part = turned[:, :, start : start + step]
            logits = score_pages(part, mean, low, high, reduce="none")
            logits = logits[..., :count] * self.scale
            missing = (0, count - logits.shape[-1])
            logits = torch.nn.functional.pad(logits, missing, value=float("-inf"))
            logits = logits.masked_fill(~seen[:, :, None], float("-inf"))
            top = logits.amax(-1, keepdim=True).clamp(min=-1e30)
            weight = torch.exp(logits - top)
            best.append((weight / weight.sum(-1, keepdim=True).clamp(min=1e-30)).amax(2))
        return torch.stack(best).amax(0).masked_fill(~seen, float("-inf"))


# Floats of one block of logits; the queries of a long chunk are worked on in turns.
_AT_ONCE = 1 << 24


class Selector(ABC):
    """A way of choosing. `needs` names the summaries that it reads (see `Summaries`)."""

    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def choose(self, far: Far, q: Tensor, carry: Stretches | None) -> Stretches:
        """The stretches that the queries q [B, Hq, T, D] (unrotated) attend to.

        `carry` is what was chosen last time in this layer, or None.
        """


class PageSelector(Selector):
    """Chooses the pages of highest score, each a group of its own."""

    @abstractmethod
    def score(self, far: Far, q: Tensor, seen: Tensor) -> Tensor:
        """Scores [B, 1 or Hkv, far.pages] of the pages, only those of `seen` [B, 1, far.pages]
        competing; the first pages of the history first."""

    def choose(self, far: Far, q: Tensor, carry: Stretches | None) -> Stretches:
        """The best pages by `score`, as many as the budget holds."""
        count = far.budget // far.page
        if far.until <= far.first or count < 1:
            return Stretches.none(q.shape[0], q.device)
        page = torch.arange(far.pages, device=q.device)
        lo = (far.first - page * far.page).clamp(min=0)
        hi = (far.until - page * far.page).clamp(max=far.page)
        first, end = page * far.page + lo, page * far.page + hi
        seen = (lo < hi).expand(q.shape[0], 1, -1).clone()
        for row, ranges in enumerate(far.hidden):
            for a, b in ranges:  # a page of which nothing is left takes no place
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
        return Stretches(
            chosen,
            torch.where(kept, lo[some], 0),
            torch.where(kept, hi[some], 0),
            torch.where(kept, group, 0),
            count + 1,
        )
