"""Attention mass by stretch of history, added up over layers and steps: what an answer rests on.

Knows nothing of where the masses come from.
"""

from __future__ import annotations

from collections import defaultdict

from torch import Tensor

from memagent.streaming.stretches import Stretches

__all__ = ["Masses"]


class Masses:
    """Collects group masses [B, Hq, G] and gives shares by token span.

    Sums stay tensors while a layer's selection stays, so that collecting costs no look at them.
    """

    def __init__(self, page: int) -> None:
        self.page = page
        self._open: dict[int, tuple[Stretches, Tensor]] = {}
        self._sums: list[dict[tuple[int, int], float]] = []
        self._steps: defaultdict[int, int] = defaultdict(int)

    def add(self, layer: int, far: Stretches, mass: Tensor) -> None:
        """One step of one layer; `far` has group numbers 1..G-1."""
        self._steps[layer] += 1
        if layer in self._open and self._open[layer][0] is far:
            self._open[layer] = (far, self._open[layer][1] + mass)
            return
        self._settle(layer)
        self._open[layer] = (far, mass)

    def shares(self, row: int = 0) -> dict[tuple[int, int], float]:
        """Token span → its share of the attention, averaged over layers, heads and steps.

        What is missing from 1 went to sinks and window.
        """
        for layer in list(self._open):
            self._settle(layer)
        total = sum(self._steps.values()) or 1
        sums = self._sums[row] if row < len(self._sums) else {}
        return {span: mass / total for span, mass in sorted(sums.items())}

    def _settle(self, layer: int) -> None:
        if layer not in self._open:
            return
        far, mass = self._open.pop(layer)
        rows, heads = far.page.shape[:2]
        by_head = mass.view(rows, heads, -1, mass.shape[-1]).mean(2).tolist()
        while len(self._sums) < rows:
            self._sums.append(defaultdict(float))
        for row in range(rows):
            for head in range(heads):
                whole: dict[int, tuple[int, int]] = {}
                for start, end, group in far.spans(self.page, row, head):
                    known = whole.get(group, (start, end))
                    whole[group] = (min(known[0], start), max(known[1], end))
                for group, span in whole.items():
                    self._sums[row][span] += by_head[row][head][group] / heads
