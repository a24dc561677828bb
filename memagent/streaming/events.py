"""Events of one row of a stream: surprise starts them, key similarity refines their boundaries.

Source: EM-LLM, arXiv:2407.09450. Prompts, answers and tool output are treated alike. Knows nothing
of models or pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memagent.memory.segmentation.boundaries import Boundaries
from memagent.memory.segmentation.refine import best_cut
from memagent.streaming.config import Segmentation
from memagent.streaming.token_ranges import TokenRange

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EventLog"]


class EventLog:
    """Events [start, end) in tokens, in order and without gaps, up to the one still open.

    An event is final (`done`) once the next one has ended, because the boundary between the two
    can be refined only then. `keys(start, end)` returns key vectors [n, d].
    """

    def __init__(self, rule: Segmentation, keys: Callable[[int, int], np.ndarray]) -> None:
        self.rule = rule
        self.keys = keys
        self.done: list[TokenRange] = []
        self.boundaries = Boundaries(rule.gamma, rule.tau, rule.least, rule.most)
        self._last: TokenRange | None = None  # has ended; its end is not final
        self._open = 0
        self._hard = False  # the open event starts at a hard cut

    def push(self, token: int, surprise: float) -> bool:
        """Add the surprise of a token in nats; True if an event starts there."""
        hard = self.boundaries.size == 0
        if not self.boundaries.push(surprise):
            return False
        if token > self._open:
            self._close(token)
        self._open, self._hard = token, hard
        return True

    def cut(self) -> None:
        """Start an event at the next token; this boundary is not refined."""
        self.boundaries.cut()

    def all(self, length: int) -> list[TokenRange]:
        """All events up to `length`, including unfinished ones."""
        rest = [self._last] if self._last else []
        return [*self.done, *rest, *([(self._open, length)] if length > self._open else [])]

    def _close(self, end: int) -> None:
        ended = (self._open, end)
        if self._last is not None:
            if self.rule.refine and not self._hard:
                ended = self._refined(self._last, ended)
                self._last = (self._last[0], ended[0])
            self.done.append(self._last)
        self._last = ended

    def _refined(self, before: TokenRange, after: TokenRange) -> TokenRange:
        keys = self.keys(before[0], after[1])
        cut = best_cut(keys, after[0] - before[0], self.rule.least, self.rule.most)
        return before[0] + cut, after[1]

    def state(self) -> dict[str, Any]:
        """The state that `restore` takes."""
        return {
            "done": len(self.done),
            "last": self._last,
            "open": self._open,
            "hard": self._hard,
            "seen": list(self.boundaries.seen),
            "size": self.boundaries.size,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a state; events that became final since then are dropped."""
        del self.done[state["done"] :]
        self._last = tuple(state["last"]) if state["last"] else None
        self._open, self._hard = state["open"], state["hard"]
        self.boundaries = self.boundaries.resumed(state["seen"], state["size"])
