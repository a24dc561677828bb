"""Score the tokens of a text in overlapping windows, each token once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["AT_ONCE", "WINDOW", "Costs", "in_windows"]

WINDOW = 512  # tokens, including the opening token
AT_ONCE = 8  # windows

Costs = Callable[[Sequence[tuple["np.ndarray", int]]], Sequence["np.ndarray"]]
"""-log p of the tokens of each window from the given position on."""


def in_windows(ids: np.ndarray, window: int, opening: int, costs: Costs) -> np.ndarray:
    """-log p, float32 [n], of the tokens `ids`, int64 [n], read in windows of `window` tokens.

    `opening` of the tokens in a window are opening tokens. Each window scores the tokens that the
    previous one did not reach; after the first window, each token has at least a quarter of a
    window of context. `costs` gets `AT_ONCE` windows at a time.
    """
    import numpy as np

    nats = np.zeros(len(ids), dtype=np.float32)
    windows = list(_windows(len(ids), window, opening))
    for first in range(0, len(windows), AT_ONCE):
        group = windows[first : first + AT_ONCE]
        found = costs([(ids[start:end], new - start) for start, new, end in group])
        for (_, new, end), values in zip(group, found, strict=True):
            nats[new:end] = values
    return nats


def _windows(length: int, window: int, opening: int) -> Iterator[tuple[int, int, int]]:
    """Windows as (start, first token to score, end) that score each token once."""
    room = window - opening
    step = window * 3 // 4
    start = new = 0
    while new < length:
        end = min(length, start + room)
        yield start, new, end
        start, new = start + step, end
