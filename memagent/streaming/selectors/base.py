"""What a selector sees of the far history, and what it answers. One way of choosing a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memagent.kernels.api import select_pages
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

    def whole(self, scores: Tensor) -> Tensor:
        """Scores of the full pages as scores of all `pages`: one being filled has none."""
        missing = self.pages - scores.shape[-1]
        if missing <= 0:
            return scores[..., : self.pages]
        return torch.nn.functional.pad(scores, (0, missing), value=float("-inf"))

    def turned(self, q: Tensor) -> Tensor:
        """q [B, Hq, T, D] as it meets a page at `distance`."""
        place = torch.full((1, 1, 1), self.distance, device=q.device)
        return rotate(q, place, self.inv_freq)


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
    def score(self, far: Far, q: Tensor) -> Tensor:
        """Scores [B, 1 or Hkv, far.pages] of the pages; the first pages of the history first."""

    def choose(self, far: Far, q: Tensor, carry: Stretches | None) -> Stretches:
        """The best pages by `score`, as many as the budget holds."""
        count = far.budget // far.page
        if far.until <= far.first or count < 1:
            return Stretches.none(q.shape[0], q.device)
        scores = self.score(far, q)
        page = torch.arange(far.pages, device=q.device)
        lo = (far.first - page * far.page).clamp(min=0)
        hi = (far.until - page * far.page).clamp(max=far.page)
        first, end = page * far.page + lo, page * far.page + hi
        for row in range(q.shape[0]):
            for a, b in far.pinned[row]:
                scores[row].masked_fill_((first < b) & (end > a), float("inf"))
            for a, b in far.hidden[row]:  # a page of which nothing is left takes no place
                scores[row].masked_fill_((first >= a) & (end <= b), float("-inf"))
        scores = scores.masked_fill(lo >= hi, float("-inf"))
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
