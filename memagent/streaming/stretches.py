"""Stretches of a stream's history as tensors, and the page list that a step attends to.

All pages are logical here: token t lies in page t // P at slot t % P. Knows nothing of models,
selection or where pages are stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

__all__ = ["Stretches", "cut_holes", "merged", "of_range", "rows_of", "stack"]


@dataclass(frozen=True, slots=True)
class Stretches:
    """Stretches [lo, hi) of pages, each tensor [B, H, M] int64, in the order of the history.

    H is 1 where a layer's heads share them. -1 in `page` pads. `group` numbers what gets one
    attention mass: 0 is sinks and window, others from 1; all are below `groups`.
    """

    page: Tensor
    lo: Tensor
    hi: Tensor
    group: Tensor
    groups: int

    @classmethod
    def none(cls, rows: int, device: torch.device) -> Self:
        """No stretch at all."""
        empty = torch.zeros(rows, 1, 0, dtype=torch.int64, device=device)
        return cls(empty, empty, empty, empty, 1)

    @classmethod
    def of(cls, tensors: Iterable[Tensor], groups: int) -> Self:
        """From page, lo, hi and group in this order."""
        page, lo, hi, group = tensors
        return cls(page, lo, hi, group, groups)

    @property
    def size(self) -> Tensor:
        """Tokens of each stretch, 0 for padding."""
        return torch.where(self.page >= 0, self.hi - self.lo, 0)

    def heads(self, count: int) -> Stretches:
        """Expanded from one head to `count`."""
        tensors = (getattr(self, name) for name in _TENSORS)
        return Stretches.of((t.expand(-1, count, -1) for t in tensors), self.groups)

    def spans(self, page: int, row: int = 0, head: int = 0) -> list[tuple[int, int, int]]:
        """(first token, end, group) of each stretch of a row and head."""
        lists = (getattr(self, name)[row, head].tolist() for name in _TENSORS)
        return [
            (p * page + lo, p * page + hi, group)
            for p, lo, hi, group in zip(*lists, strict=True)
            if p >= 0 and hi > lo
        ]


def of_range(start: int, end: int, page: int, rows: int, device: torch.device) -> Stretches:
    """The tokens [start, end) of every row as stretches of group 0."""
    if end <= start:
        return Stretches.none(rows, device)
    pages = torch.arange(start // page, -(-end // page), device=device)
    first = pages * page
    lo = (start - first).clamp(min=0)
    hi = (end - first).clamp(max=page)
    shape = (rows, 1, -1)
    return Stretches(
        pages.expand(shape),
        lo.expand(shape),
        hi.expand(shape),
        torch.zeros_like(lo).expand(shape),
        1,
    )


def rows_of(spans: list[list[tuple[int, int, int]]], page: int, device: torch.device) -> Stretches:
    """For each row its token spans (start, end, group), in the order of the history."""
    rows: list[list[tuple[int, int, int, int]]] = []
    for row in spans:
        cut = []
        for start, end, group in row:
            for number in range(start // page, -(-end // page)):
                lo, hi = max(start - number * page, 0), min(end - number * page, page)
                cut.append((number, lo, hi, group))
        rows.append(cut)
    most = max(map(len, rows), default=0)
    padded = [row + [(-1, 0, 0, 0)] * (most - len(row)) for row in rows]
    values = torch.tensor(padded, dtype=torch.int64, device=device).view(len(rows), most, 4)
    groups = 1 + max((group for row in spans for _, _, group in row), default=0)
    return Stretches.of((values[:, None, :, n] for n in range(4)), groups)


def stack(parts: list[Stretches]) -> Stretches:
    """Parts one behind the other; heads are expanded where one part has them apart."""
    heads = max(part.page.shape[1] for part in parts)
    wide = [part.heads(heads) for part in parts]
    tensors = (torch.cat([getattr(p, name) for p in wide], dim=2) for name in _TENSORS)
    return Stretches.of(tensors, max(part.groups for part in parts))


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same tokens as ascending ranges that do not touch."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def cut_holes(stretches: Stretches, holes: list[list[tuple[int, int]]], page: int) -> Stretches:
    """The stretches without the tokens in `holes`, ranges [start, end) of each row.

    Without a hole nothing is touched; with one, rows and heads are written anew one by one.
    """
    if not any(holes) or stretches.page.shape[2] == 0:
        return stretches
    batch, heads = stretches.page.shape[:2]
    rows = []
    for row in range(batch):
        for head in range(heads):
            spans = stretches.spans(page, row, head)
            for a, b in holes[row]:
                spans = [
                    piece
                    for start, end, group in spans
                    for piece in ((start, min(end, a), group), (max(start, b), end, group))
                    if piece[0] < piece[1]
                ]
            rows.append(spans)
    flat = rows_of(rows, page, stretches.page.device)
    tensors = (getattr(flat, name).reshape(batch, heads, -1) for name in _TENSORS)
    return Stretches.of(tensors, stretches.groups)


_TENSORS = ("page", "lo", "hi", "group")
