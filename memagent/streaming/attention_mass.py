"""The attention mass of each recalled part of the history, summed over layers and steps."""

from __future__ import annotations

from collections import defaultdict

from torch import Tensor

from memagent.streaming.page_ranges import PageRanges
from memagent.streaming.token_ranges import TokenRange

__all__ = ["AttentionMass"]


class AttentionMass:
    """Collects group masses [B, Hq, G] and reports them by token range.

    While a layer keeps its selection, the sum stays a tensor, so that collecting does not wait for
    the GPU.
    """

    def __init__(self, page: int) -> None:
        self.page = page
        self._open: dict[int, tuple[PageRanges, Tensor]] = {}
        self._sums: list[dict[TokenRange, float]] = []
        self._steps: defaultdict[int, int] = defaultdict(int)

    def add(self, layer: int, far: PageRanges, mass: Tensor) -> None:
        """Add one step of one layer; the groups of `far` are numbered 1 to G-1."""
        self._steps[layer] += 1
        if layer in self._open and self._open[layer][0] is far:
            self._open[layer] = (far, self._open[layer][1] + mass)
            return
        self._settle(layer)
        self._open[layer] = (far, mass)

    def shares(self, row: int = 0) -> dict[TokenRange, float]:
        """Share of the attention of each token range, averaged over layers, heads and steps.

        The rest up to 1 went to the sinks and the window.
        """
        for layer in list(self._open):
            self._settle(layer)
        total = sum(self._steps.values()) or 1
        sums = self._sums[row] if row < len(self._sums) else {}
        return {tokens: mass / total for tokens, mass in sorted(sums.items())}

    def _settle(self, layer: int) -> None:
        """Move the open sum of a layer to `_sums`."""
        if layer not in self._open:
            return
        far, mass = self._open.pop(layer)
        rows, heads = far.page.shape[:2]
        by_head = mass.view(rows, heads, -1, mass.shape[-1]).mean(2).tolist()
        while len(self._sums) < rows:
            self._sums.append(defaultdict(float))
        for row in range(rows):
            for head in range(heads):
                whole: dict[int, TokenRange] = {}
                for start, end, group in far.token_ranges(self.page, row, head):
                    first, last = whole.get(group, (start, end))
                    whole[group] = (min(first, start), max(last, end))
                for group, tokens in whole.items():
                    self._sums[row][tokens] += by_head[row][head][group] / heads
