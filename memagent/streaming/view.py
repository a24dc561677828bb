"""What a step sees: sinks, what was chosen of the far history, the window; and when to choose anew.

Knows nothing of models; a selector is handed the far history of a layer and chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memagent.streaming.config import StreamConfig
from memagent.streaming.positions import place
from memagent.streaming.stretches import Stretches, cut_holes, merged, of_range

__all__ = ["Span", "View"]

Span = tuple[int, int]
Listed = tuple[Stretches, Tensor, Tensor]


class View:
    """The lists of one step at a time, for every layer.

    `hidden` are token ranges of each row that may not be seen for now, `pinned` those recalled
    before all others, `local_from` a token behind which the window does not reach; all three may
    be set between steps. `forgotten` are ranges that are never seen again.
    """

    def __init__(self, config: StreamConfig, rows: int) -> None:
        self.config = config
        self.rows = rows
        self.forgotten: list[list[Span]] = [[] for _ in range(rows)]
        self.hidden: list[list[Span]] = [[] for _ in range(rows)]
        self.pinned: list[list[Span]] = [[] for _ in range(rows)]
        self.local_from = 0
        self.chosen: dict[int, Stretches] = {}
        self.unseen = self.hidden
        self.start = self.end = 0
        self._ranges: dict[Span, Stretches] = {}
        self.until = 0
        self._chosen_at = 0
        self._stale = True
        self._choosing = True

    @property
    def first(self) -> int:
        """The first token that is no sink."""
        return min(self.config.sinks, self.start)

    def begin(self, start: int, tokens: int) -> None:
        """A step of `tokens` new tokens behind `start` others."""
        pairs = zip(self.forgotten, self.hidden, strict=True)
        self.unseen = [merged([*gone, *hidden]) for gone, hidden in pairs]
        self.start, self.end = start, start + tokens
        self._ranges.clear()
        due = start - self._chosen_at >= self.config.refresh
        closed = self.config.landmark is not None and start % self.config.page == 0
        self._choosing = self._stale or tokens > 1 or due or closed
        if self._choosing:
            self.until = self._until()
            self._chosen_at, self._stale = start, False

    def renew(self) -> None:
        """The next step chooses anew."""
        self._stale = True

    def forget(self, row: int, start: int, end: int) -> None:
        """Tokens [start, end) of a row are never seen again."""
        self.forgotten[row] = merged([*self.forgotten[row], (start, end)])
        self.renew()

    def lists(self, layer: int, choose: Callable[[Stretches | None], Stretches]) -> Listed:
        """The page list of a layer, the position of each page, and of the first new token."""
        if self._choosing or layer not in self.chosen:
            self.chosen[layer] = choose(self.chosen.get(layer))
        far = self.chosen[layer]
        device = far.page.device
        sinks = self._range(0, self.first, device)
        local = self._range(self.until, self.end, device)
        sinks, far, local = (
            cut_holes(part, self.unseen, self.config.page) for part in (sinks, far, local)
        )
        return place(self.config.positions, sinks, far, local, self.config.page, self.start)

    def sliding(self, window: int, device: torch.device) -> Listed:
        """The list of a layer that the model itself gives a sliding window, at true positions."""
        local = self._range(max(0, self.start - window + 1), self.end, device)
        local = cut_holes(local, self.unseen, self.config.page)
        at = torch.full((self.rows,), self.start, device=device)
        return local, local.page * self.config.page, at

    def state(self) -> dict[str, Any]:
        """Where the window begins and when was chosen, for `restore`."""
        return {
            "until": self.until,
            "at": self._chosen_at,
            "stale": self._stale,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.until, self._chosen_at, self._stale = state["until"], state["at"], state["stale"]

    def wanted(self) -> list[list[Span]]:
        """What the selector must choose if the budget allows, for each row.

        Where landmarks stand for blocks, the block before the present one is among it, and all
        that reach into the window: a block's first tokens go on from the last ones before it. They
        get half of the budget at most.
        """
        config = self.config
        if config.landmark is None:
            return self.pinned
        most = config.budget // config.page // 2
        back = max(config.page, self.until - self.start + (config.window or 0) - 1)
        first = max(0, self.until - min(back, most * config.page))
        if first >= self.until:
            return self.pinned
        return [[*spans, (first, self.until)] for spans in self.pinned]

    @property
    def distance(self) -> int:
        """How far away pages are taken to be when they are scored.

        Landmarks are where the middle of the chosen blocks will stand, other pages where the
        window begins.
        """
        config = self.config
        if config.landmark is not None:
            return config.page + config.budget // 2
        return min(config.window or 0, self.start)

    def _until(self) -> int:
        """Where the window begins: the tokens before it are far."""
        if self.config.landmark is not None:  # a block sees itself; all others by their landmarks
            return self.start // self.config.page * self.config.page
        if self.config.window is None:
            return self.first
        return max(
            self.first, self.start - self.config.window + 1, min(self.local_from, self.start)
        )

    def _range(self, start: int, end: int, device: torch.device) -> Stretches:
        """Made once a step: every layer asks for the same sinks and the same window."""
        if (start, end) not in self._ranges:
            self._ranges[start, end] = of_range(start, end, self.config.page, self.rows, device)
        return self._ranges[start, end]
