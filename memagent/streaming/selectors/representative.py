"""Events by their representative keys, with their neighbours in time: recall as EM-LLM does it.

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

from memagent.streaming.selectors.base import Far, Selector
from memagent.streaming.stretches import Stretches, merged, rows_of

__all__ = ["Representative"]


@dataclass(frozen=True)
class Representative(Selector):
    """One choice for all heads of a layer, under one budget of tokens.

    The events of highest score take the similarity share; the events beside them, nearest hit
    first, and then those that were chosen last time, take the contiguity share.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"event"})

    def choose(self, far: Far, q: Tensor, carry: Stretches | None) -> Stretches:
        """The chosen events, each a group of its own."""
        rows = []
        for row, events in enumerate(far.events):
            last = [] if carry is None else [s[:2] for s in carry.spans(far.page, row)]
            chosen = self._of_row(far, q[row : row + 1], row, last)
            spans = [(max(events[n][0], far.first), events[n][1]) for n in chosen]
            count = far.ended(row)
            rest = max(far.first, events[count - 1][1] if count else 0)
            if rest < far.until:
                spans.append((rest, far.until))  # an event that the window has not let go whole
            if not far.apart:
                spans = merged(spans)  # fewer pages to gather
            rows.append([(*span, group) for group, span in enumerate(spans, start=1)])
        return rows_of(rows, far.page, q.device)

    def _of_row(self, far: Far, q: Tensor, row: int, last: list[tuple[int, int]]) -> list[int]:
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
            found[wanted] = found[wanted].masked_fill(found[wanted] > _NOTHING, float("inf"))
        # No more events than the budget holds of the smallest size can be taken.
        most = min(count, far.budget // far.least + 1)
        best = found.topk(most)
        order = [n for n, s in zip(*map(Tensor.tolist, best[::-1]), strict=True) if s > _NOTHING]
        similar = _fill(order, int(far.budget * (1 - far.contiguity)), events, set())
        beside = [n for hit in similar for n in (hit - 1, hit + 1) if 0 <= n < count]
        carried = [n for span in last for n in _inside(events[:count], *span)]
        near = [n for n in (*beside, *carried) if found[n] > _NOTHING]
        room = far.budget - sum(events[n][1] - events[n][0] for n in similar)
        return sorted([*similar, *_fill(near, room, events, set(similar))])


_NOTHING = float("-inf")


def _end(span: tuple[int, int]) -> int:
    return span[1]


def _inside(events: list[tuple[int, int]], start: int, end: int) -> range:
    """Numbers of the events of which the tokens [start, end) hold some."""
    return range(bisect_right(events, start, key=_end), bisect_left(events, (end,)))


def _fill(
    numbers: Iterable[int], room: int, events: list[tuple[int, int]], taken: set[int]
) -> list[int]:
    """Events in this order as long as the next one fits, each once."""
    chosen: list[int] = []
    for number in dict.fromkeys(numbers):
        if number in taken:
            continue
        room -= events[number][1] - events[number][0]
        if room < 0:
            break
        chosen.append(number)
    return chosen
