"""Parts of a stream's history as tensors of page ranges.

All pages are logical here: token t is in page t // P at slot t % P. Knows nothing of models,
selection or where pages are stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from memagent.streaming.token_ranges import TokenRange

__all__ = ["PageRanges", "concatenate", "from_range", "from_rows", "remove_tokens"]

_TENSORS = ("page", "lo", "hi", "group")


@dataclass(frozen=True, slots=True)
class PageRanges:
    """Slots [lo, hi) of pages, each tensor [B, H, M] int64, in the order of the history.

    H is 1 if the heads of a layer share them. -1 in `page` is padding. Pages of one `group` share
    one attention mass: group 0 is sinks and window, recalled groups are 1 to `groups` - 1.
    """

    page: Tensor
    lo: Tensor
    hi: Tensor
    group: Tensor
    groups: int

    @classmethod
    def empty(cls, rows: int, device: torch.device) -> Self:
        """No ranges for any row."""
        empty = torch.zeros(rows, 1, 0, dtype=torch.int64, device=device)
        return cls(empty, empty, empty, empty, 1)

    @classmethod
    def from_tensors(cls, tensors: Iterable[Tensor], groups: int) -> Self:
        """From page, lo, hi and group, in this order."""
        page, lo, hi, group = tensors
        return cls(page, lo, hi, group, groups)

    @property
    def size(self) -> Tensor:
        """Number of tokens in each range, 0 for padding."""
        return torch.where(self.page >= 0, self.hi - self.lo, 0)

    def heads(self, count: int) -> PageRanges:
        """The same ranges, expanded from one head to `count`."""
        tensors = (getattr(self, name) for name in _TENSORS)
        return PageRanges.from_tensors((t.expand(-1, count, -1) for t in tensors), self.groups)

    def token_ranges(self, page: int, row: int = 0, head: int = 0) -> list[tuple[int, int, int]]:
        """(first token, end, group) of each range of a row and head."""
        lists = (getattr(self, name)[row, head].tolist() for name in _TENSORS)
        return [
            (p * page + lo, p * page + hi, group)
            for p, lo, hi, group in zip(*lists, strict=True)
            if p >= 0 and hi > lo
        ]


def from_range(start: int, end: int, page: int, rows: int, device: torch.device) -> PageRanges:
    """The tokens [start, end) of every row, in group 0."""
    if end <= start:
        return PageRanges.empty(rows, device)
    pages = torch.arange(start // page, -(-end // page), device=device)
    first = pages * page
    lo = (start - first).clamp(min=0)
    hi = (end - first).clamp(max=page)
    shape = (rows, 1, -1)
    return PageRanges(
        pages.expand(shape),
        lo.expand(shape),
        hi.expand(shape),
        torch.zeros_like(lo).expand(shape),
        1,
    )


def from_rows(
    ranges: list[list[tuple[int, int, int]]], page: int, device: torch.device
) -> PageRanges:
    """From the token ranges (start, end, group) of each row, in the order of the history."""
    rows: list[list[tuple[int, int, int, int]]] = []
    for row in ranges:
        cut = []
        for start, end, group in row:
            for number in range(start // page, -(-end // page)):
                lo, hi = max(start - number * page, 0), min(end - number * page, page)
                cut.append((number, lo, hi, group))
        rows.append(cut)
    most = max(map(len, rows), default=0)
    padded = [row + [(-1, 0, 0, 0)] * (most - len(row)) for row in rows]
    values = torch.tensor(padded, dtype=torch.int64, device=device).view(len(rows), most, 4)
    groups = 1 + max((group for row in ranges for _, _, group in row), default=0)
    return PageRanges.from_tensors((values[:, None, :, n] for n in range(4)), groups)


def concatenate(parts: list[PageRanges]) -> PageRanges:
    """The parts one after another, expanded to the largest number of heads."""
    heads = max(part.page.shape[1] for part in parts)
    wide = [part.heads(heads) for part in parts]
    tensors = (torch.cat([getattr(p, name) for p in wide], dim=2) for name in _TENSORS)
    return PageRanges.from_tensors(tensors, max(part.groups for part in parts))


def remove_tokens(ranges: PageRanges, holes: list[list[TokenRange]], page: int) -> PageRanges:
    """The ranges without the tokens in `holes`, which lists token ranges for each row.

    Returns `ranges` itself if there are no holes.
    """
    if not any(holes) or ranges.page.shape[2] == 0:
        return ranges
    batch, heads = ranges.page.shape[:2]
    rows = []
    for row in range(batch):
        for head in range(heads):
            kept = ranges.token_ranges(page, row, head)
            for a, b in holes[row]:
                kept = [
                    piece
                    for start, end, group in kept
                    for piece in ((start, min(end, a), group), (max(start, b), end, group))
                    if piece[0] < piece[1]
                ]
            rows.append(kept)
    flat = from_rows(rows, page, ranges.page.device)
    tensors = (getattr(flat, name).reshape(batch, heads, -1) for name in _TENSORS)
    return PageRanges.from_tensors(tensors, ranges.groups)
