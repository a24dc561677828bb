"""Events by their representative keys, with their neighbours in time, as in EM-LLM.

Sources: InfLLM (arXiv:2402.04617) for representative tokens; "Human-like Episodic Memory for
Infinite Context LLMs" (EM-LLM, arXiv:2407.09450) for the similarity and contiguity buffers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from memagent.streaming.page_ranges import PageRanges, from_rows
from memagent.streaming.selectors.base import Far, Selector
from memagent.streaming.token_ranges import TokenRange, merge_ranges

__all__ = ["Representative"]


@dataclass(frozen=True)
class Representative(Selector):
    """Makes one choice for all heads of a layer, within one budget of tokens.

    The events with the highest scores fill the similarity share of the budget. Their neighbours,
    those of the best events first, and then the events of the previous choice fill the contiguity
    share.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"event"})

    def choose(self, far: Far, q: Tensor, carry: PageRanges | None) -> PageRanges:
        """The chosen events, each as its own group."""
        rows = []
        for row, events in enumerate(far.events):
            last = [] if carry is None else [r[:2] for r in carry.token_ranges(far.page, row)]
            chosen = self._of_row(far, q[row : row + 1], row, last)
            ranges = [(max(events[n][0], far.first), events[n][1]) for n in chosen]
            count = far.ended(row)
            rest = max(far.first, events[count - 1][1] if count else 0)
            if rest < far.until:
                ranges.append((rest, far.until))  # the part of an event that has left the window
            if not far.separate_events:
                ranges = merge_ranges(ranges)  # fewer pages to gather
            rows.append([(*span, group) for group, span in enumerate(ranges, start=1)])
        return from_rows(rows, far.page, q.device)

    def _of_row(self, far: Far, q: Tensor, row: int, last: list[TokenRange]) -> list[int]:
        """Numbers of the chosen events, ascending."""
        events, count = far.events[row], far.ended(row)
        if count == 0 or far.budget == 0:
            return []
        keys = far.summaries.representatives(far.cache, row, events[:count])
        seen = torch.ones(count, dtype=torch.bool, device=q.device)
        seen[: bisect_right(events, far.first, key=_end)] = False  # these are sinks
        for start, end in far.hidden[row]:
            seen[bisect_left(events, (start,)) : bisect_left(events, (end,))] = False
        found = far.share(q, seen[None, None], mean=keys[None]).sum(1)[0]
        for start, end in far.pinned[row]:
            wanted = slice(bisect_right(events, start, key=_end), bisect_left(events, (end,)))
            found[wanted] = found[wanted].masked_fill(found[wanted] > _NEG_INF, float("inf"))
        # The budget holds at most this many events of the smallest size.
        most = min(count, far.budget // far.least + 1)
        best = found.topk(most)
        order = [n for n, s in zip(*map(Tensor.tolist, best[::-1]), strict=True) if s > _NEG_INF]
        similar = _fill(order, int(far.budget * (1 - far.contiguity)), events, set())
        neighbours = [n for hit in similar for n in (hit - 1, hit + 1) if 0 <= n < count]
        carried = [n for tokens in last for n in _overlapping(events[:count], *tokens)]
        near = [n for n in (*neighbours, *carried) if found[n] > _NEG_INF]
        room = far.budget - sum(events[n][1] - events[n][0] for n in similar)
        return sorted([*similar, *_fill(near, room, events, set(similar))])


_NEG_INF = float("-inf")


def _end(event: TokenRange) -> int:
    return event[1]


def _overlapping(events: list[TokenRange], start: int, end: int) -> range:
    """Numbers of the events that overlap the tokens [start, end)."""
    return range(bisect_right(events, start, key=_end), bisect_left(events, (end,)))


def _fill(
    numbers: Iterable[int], room: int, events: list[TokenRange], taken: set[int]
) -> list[int]:
    """Numbers in this order, each once, until the next event does not fit into `room`."""
    chosen: list[int] = []
    for number in dict.fromkeys(numbers):
        if number in taken:
            continue
        room -= events[number][1] - events[number][0]
        if room < 0:
            break
        chosen.append(number)
    return chosen
