"""Moves a boundary to the cut of highest modularity in the similarity graph around it.

Source: EM-LLM, arXiv:2407.09450. Because the graph is A = K Kᵀ, it need not be built: up to a
constant factor, the modularity of a cut follows from prefix sums of the keys.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["best_cut", "modularity"]


def modularity(keys: np.ndarray) -> np.ndarray:
    """The two-way modularity of cutting keys [n, d] before token t, up to a factor: [n + 1].

    With x_t the sum of the first t keys and s the sum of all keys, this is
    |x_t - (x_t·s/|s|²) s|² / |s|² = (|x_t|² - (x_t·s)²/|s|²) / |s|².
    """
    import numpy as np

    found = np.zeros(len(keys) + 1)
    if not len(keys):
        return found
    prefix = keys.astype(np.float64)
    # Row by row, because numpy's cumsum along the first axis takes six times as long.
    for before, here in pairwise(prefix):
        here += before
    total = prefix[-1]
    length = float(total @ total)
    if length > 0:
        along = prefix @ total
        found[1:] = (np.einsum("ij,ij->i", prefix, prefix) - along * along / length) / length
    return found


def best_cut(keys: np.ndarray, original: int, least: int = 1, most: int | None = None) -> int:
    """The cut of keys [n, d] of highest modularity with `least` to `most` tokens on each side.

    Returns `original`, the boundary by surprise, unless another cut is better.
    """
    found, count = modularity(keys), len(keys)
    first, end = least, count - least + 1
    if most is not None:
        first, end = max(first, count - most), min(end, most + 1)
    if first >= end:
        return original
    best = first + int(found[first:end].argmax())
    return best if found[best] > found[original] else original
