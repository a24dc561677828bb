"""Keys and values of one layer as pages: an append-only log for each row of the batch.

Logical pages number the log. `table` maps each to a physical page of the pool, or to -1 if a lower
tier has it. Knows nothing of selection or attention.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memagent.errors import EngineError
from memagent.streaming.tiers import Tier

__all__ = ["LayerCache"]

_FIRST = 64  # pages of a new pool
_EVICTED_AT_ONCE = 32


class LayerCache:
    """The page pool [N, Hkv, P, D] of one layer.

    `limit` bounds the pages per row if there is a tier `below` to take the others. Every row of the
    batch has the same length. `step` is a clock for eviction: pages used in the current step stay,
    even if there are more of them than the limit.
    """

    def __init__(
        self,
        layer: int,
        rows: int,
        heads: int,
        page: int,
        dim: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
        limit: int | None = None,
        below: Tier | None = None,
    ) -> None:
        self.layer = layer
        self.rows = rows
        self.page = page
        self.limit = None if limit is None or below is None else limit * rows
        self.below = below
        size = _FIRST * rows if self.limit is None else min(_FIRST * rows, self.limit)
        shape = (size, heads, page, dim)
        self.k = torch.zeros(shape, dtype=dtype, device=device)
        self.v = torch.zeros(shape, dtype=dtype, device=device)
        self.table = torch.full((rows, _FIRST), -1, dtype=torch.int64, device=device)
        self.step = 0
        self.length = 0
        self._owner: dict[int, tuple[int, int]] = {}
        self._touched: dict[int, int] = {}
        self._free = list(range(size - 1, -1, -1))

    def append(self, start: int, k: Tensor, v: Tensor) -> None:
        """Write tokens [start, start + T): k (rotated by slot) and v [B, Hkv, T, D]."""
        tokens = k.shape[2]
        if start == 0 and self.below is not None:  # blocks of an older stream
            self.below.drop(lambda key: key[0] == self.layer)
        place = torch.arange(start, start + tokens, device=self.k.device)
        self.reserve(start // self.page, -(-(start + tokens) // self.page))
        physical = self.table[:, place // self.page]
        slot = (place % self.page).expand_as(physical)
        self.k[physical, :, slot] = k.transpose(1, 2)
        self.v[physical, :, slot] = v.transpose(1, 2)
        self.length = start + tokens

    def reserve(self, first: int, end: int) -> None:
        """Bring the logical pages [first, end) of every row into the pool."""
        self._widen(end)
        there = self.table[:, first:end]
        if self.limit is not None:
            self._touched.update(dict.fromkeys(there[there >= 0].tolist(), self.step))
        missing = (there < 0).nonzero().tolist()
        self._bring([(row, first + page) for row, page in missing])

    def resolve(self, pages: Tensor) -> Tensor:
        """Physical pages of logical ones [B, H, M]; -1 stays -1. Brings evicted pages back."""
        if self.length:
            self._widen(-(-self.length // self.page))
        rows = torch.arange(self.rows, device=pages.device)[:, None, None]
        found = self.table[rows, pages.clamp(min=0)]
        if self.below is not None:
            # Mark them as used first, so that bringing some back does not evict the others.
            if self.limit is not None:
                self._touched.update(dict.fromkeys(found[found >= 0].tolist(), self.step))
            away = ((found < 0) & (pages >= 0)).nonzero().tolist()
            if away:
                self._bring(sorted({(b, int(pages[b, h, m])) for b, h, m in away}))
                found = self.table[rows, pages.clamp(min=0)]
        return found.masked_fill(pages < 0, -1)

    def overwrite(self, row: int, start: int, end: int) -> None:
        """Zero the slots of tokens [start, end) here and drop their pages from the tiers below."""
        first, last = start // self.page, -(-end // self.page)
        self.reserve(first, last)
        for page in range(first, last):
            physical = int(self.table[row, page])
            lo, hi = max(start - page * self.page, 0), min(end - page * self.page, self.page)
            self.k[physical, :, lo:hi] = 0
            self.v[physical, :, lo:hi] = 0
        if self.below is not None:
            self.below.drop(
                lambda key: key[0] == self.layer and key[1] == row and first <= key[2] < last
            )

    def truncate(self, length: int) -> None:
        """Drop the tokens from `length` on from every tier."""
        kept = -(-length // self.page)
        if length % self.page:
            self.reserve(kept - 1, kept)  # the last page will be appended to
        for physical, (row, page) in list(self._owner.items()):
            if page >= kept:
                self.table[row, page] = -1
                self._release(physical)
        if self.below is not None:
            full = length // self.page
            self.below.drop(lambda key: key[0] == self.layer and key[2] >= full)
        self.length = length

    def store(self) -> None:
        """Write the full pages, which no longer change, to a persistent tier."""
        assert self.below is not None
        self._put_below([p for p, (_, page) in self._owner.items() if self._full(page)])
        self.below.flush()

    def tail(self) -> Tensor:
        """The page being filled, [2, B, Hkv, P, D]; zeros if the last page is full."""
        last = self.length // self.page
        if self.length % self.page == 0:
            shape = (2, self.rows, *self.k.shape[1:])
            return torch.zeros(shape, dtype=self.k.dtype, device=self.k.device)
        self.reserve(last, last + 1)
        physical = self.table[:, last]
        return torch.stack((self.k[physical], self.v[physical]))

    def resume(self, length: int, tail: Tensor) -> None:
        """Continue after `length` tokens whose full pages are in a lower tier."""
        last = length // self.page
        if self.below is not None:  # pages written after the stream was saved
            self.below.drop(lambda key: key[0] == self.layer and key[2] >= last)
        if length % self.page:
            self.reserve(last, last + 1)
            physical = self.table[:, last]
            self.k[physical], self.v[physical] = tail.to(self.k).unbind()
        self.length = length

    def bytes(self) -> int:
        """Size of the pool."""
        return 2 * self.k.numel() * self.k.element_size()

    def _full(self, page: int) -> bool:
        return (page + 1) * self.page <= self.length

    def _put_below(self, physical: list[int]) -> None:
        assert self.below is not None
        blocks = {}
        for number in physical:
            key = (self.layer, *self._owner[number])
            if not self.below.has(key):
                blocks[key] = torch.stack((self.k[number], self.v[number]))
        self.below.put(blocks)

    def _bring(self, wanted: list[tuple[int, int]]) -> None:
        """Allocate each logical page (row, page); read it from below if it was evicted."""
        for row, page in wanted:
            physical = self._allocate()
            if self._full(page):
                block = self.below.get((self.layer, row, page)) if self.below else None
                if block is None:
                    raise EngineError(
                        f"page {page} of layer {self.layer} is missing from the stream"
                    )
                self.k[physical], self.v[physical] = block.to(self.k).unbind()
            else:
                self.k[physical] = 0
                self.v[physical] = 0
            self.table[row, page] = physical
            self._owner[physical] = (row, page)
            self._touched[physical] = self.step

    def _allocate(self) -> int:
        size = self.k.shape[0]
        if not self._free and self.limit is not None and size >= self.limit:
            self._evict()
        if not self._free:
            # Double the pool up to the limit; grow a little beyond it if one step needs more.
            most = 2 * size if self.limit is None else max(self.limit, size + _EVICTED_AT_ONCE)
            self._grow(min(size, most - size))
        return self._free.pop()

    def _grow(self, more: int) -> None:
        size = self.k.shape[0]
        room = self.k.new_zeros(more, *self.k.shape[1:])
        self.k, self.v = torch.cat((self.k, room)), torch.cat((self.v, room))
        self._free = list(range(size + more - 1, size - 1, -1))

    def _evict(self) -> None:
        """Move the least recently used pages to the tier below."""
        idle = [
            number
            for number, (_, page) in self._owner.items()
            if self._touched[number] < self.step and self._full(page)
        ]
        oldest = sorted(idle, key=self._touched.__getitem__)[:_EVICTED_AT_ONCE]
        self._put_below(oldest)
        for number in oldest:
            row, page = self._owner[number]
            self.table[row, page] = -1
            self._release(number)

    def _release(self, physical: int) -> None:
        del self._owner[physical], self._touched[physical]
        self._free.append(physical)

    def _widen(self, pages: int) -> None:
        if pages > self.table.shape[1]:
            wider = self.table.new_full((self.rows, max(pages, 2 * self.table.shape[1])), -1)
            wider[:, : self.table.shape[1]] = self.table
            self.table = wider
