"""What a step attends to: sinks, the selected part of the far history, and the window.

Decides when to select again; a callback runs the selector. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from memagent.streaming.config import StreamConfig
from memagent.streaming.page_ranges import PageRanges, from_range, remove_tokens
from memagent.streaming.positions import Placed, place
from memagent.streaming.token_ranges import TokenRange, merge_ranges

__all__ = ["View"]


class View:
    """The page lists of one step at a time, for every layer.

    Between steps, the owner may set `hidden`, the token ranges of each row that are invisible for
    now; `pinned`, the ranges to recall first; and `local_from`, the first token that the window
    may contain. `forgotten` are ranges that are never visible again.
    """

    def __init__(self, config: StreamConfig, rows: int) -> None:
        self.config = config
        self.rows = rows
        self.forgotten: list[list[TokenRange]] = [[] for _ in range(rows)]
        self.hidden: list[list[TokenRange]] = [[] for _ in range(rows)]
        self.pinned: list[list[TokenRange]] = [[] for _ in range(rows)]
        self.local_from = 0
        self.chosen: dict[int, PageRanges] = {}
        self.unseen = self.hidden
        self.start = self.end = 0
        self._ranges: dict[TokenRange, PageRanges] = {}
        self.until = 0
        self._chosen_at = 0
        self._stale = True
        self._choosing = True

    @property
    def first(self) -> int:
        """The first token after the sinks."""
        return min(self.config.sinks, self.start)

    def begin(self, start: int, tokens: int) -> None:
        """Start a step that adds `tokens` tokens to `start` earlier ones."""
        pairs = zip(self.forgotten, self.hidden, strict=True)
        self.unseen = [merge_ranges([*gone, *hidden]) for gone, hidden in pairs]
        self.start, self.end = start, start + tokens
        self._ranges.clear()
        due = start - self._chosen_at >= self.config.refresh
        closed = self.config.landmark is not None and start % self.config.page == 0
        self._choosing = self._stale or tokens > 1 or due or closed
        if self._choosing:
            self.until = self._until()
            self._chosen_at, self._stale = start, False

    def renew(self) -> None:
        """Make the next step select again."""
        self._stale = True

    def forget(self, row: int, start: int, end: int) -> None:
        """Make the tokens [start, end) of a row invisible for good."""
        self.forgotten[row] = merge_ranges([*self.forgotten[row], (start, end)])
        self.renew()

    def lists(self, layer: int, choose: Callable[[PageRanges | None], PageRanges]) -> Placed:
        """The page list of a layer; `choose` selects from the far history when that is due."""
        if self._choosing or layer not in self.chosen:
            self.chosen[layer] = choose(self.chosen.get(layer))
        far = self.chosen[layer]
        device = far.page.device
        sinks = self._range(0, self.first, device)
        local = self._range(self.until, self.end, device)
        sinks, far, local = (
            remove_tokens(part, self.unseen, self.config.page) for part in (sinks, far, local)
        )
        return place(self.config.positions, sinks, far, local, self.config.page, self.start)

    def sliding(self, window: int, device: torch.device) -> Placed:
        """The page list of a layer with its own sliding window, at true positions."""
        local = self._range(max(0, self.start - window + 1), self.end, device)
        local = remove_tokens(local, self.unseen, self.config.page)
        at = torch.full((self.rows,), self.start, device=device)
        return Placed(local, local.page * self.config.page, at)

    def state(self) -> dict[str, Any]:
        """The start of the window and the time of the last selection, for `restore`."""
        return {
            "until": self.until,
            "at": self._chosen_at,
            "stale": self._stale,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.until, self._chosen_at, self._stale = state["until"], state["at"], state["stale"]

    def required(self) -> list[list[TokenRange]]:
        """The token ranges of each row that the selector must choose if the budget allows.

        With landmarks, these include the block before the current one and all blocks that reach
        into the window, up to half of the budget: the first tokens of a block continue from the
        last ones of the block before it.
        """
        config = self.config
        if config.landmark is None:
            return self.pinned
        most = config.budget // config.page // 2
        back = max(config.page, self.until - self.start + (config.window or 0) - 1)
        first = max(0, self.until - min(back, most * config.page))
        if first >= self.until:
            return self.pinned
        return [[*ranges, (first, self.until)] for ranges in self.pinned]

    @property
    def distance(self) -> int:
        """The distance in tokens at which all far pages are scored.

        With landmarks, that of the middle of the chosen blocks; otherwise that of the start of the
        window.
        """
        config = self.config
        if config.landmark is not None:
            return config.page + config.budget // 2
        return min(config.window or 0, self.start)

    def _until(self) -> int:
        """The start of the window; the tokens before it are the far history."""
        if self.config.landmark is not None:  # other blocks are reached through their landmarks
            return self.start // self.config.page * self.config.page
        if self.config.window is None:
            return self.first
        return max(
            self.first, self.start - self.config.window + 1, min(self.local_from, self.start)
        )

    def _range(self, start: int, end: int, device: torch.device) -> PageRanges:
        """Tokens [start, end), cached for a step: all layers need the same sinks and window."""
        if (start, end) not in self._ranges:
            self._ranges[start, end] = from_range(start, end, self.config.page, self.rows, device)
        return self._ranges[start, end]
