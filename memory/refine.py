"""Moving a boundary to where the similarity graph of its surroundings is most modular.

Source of the refinement: EM-LLM, arXiv:2407.09450. With A = K Kᵀ no graph has to be built: the
modularity of a cut is a function of prefix sums of the keys, and has the same argmax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["best_cut", "modularity"]


def modularity(keys: np.ndarray) -> np.ndarray:
    """The two-way modularity of each cut of keys [n, d] before token t, t = 0..n, up to a factor.

    With x_t the sum of the first t keys and s the sum of all: |x_t - (x_t·s/|s|²) s|² / |s|².
    """
    import numpy as np

    prefix = np.concatenate((np.zeros((1, keys.shape[1])), keys.astype(np.float64).cumsum(0)))
    total = prefix[-1]
    length = float(total @ total)
    if length == 0:
        return np.zeros(len(prefix))
    off = prefix - np.outer(prefix @ total / length, total)
    found: np.ndarray = (off * off).sum(1) / length
    return found


def best_cut(keys: np.ndarray, original: int, least: int = 1, most: int | None = None) -> int:
    """The cut of keys [n, d] of highest modularity with `least` to `most` tokens on both sides.

    `original`, where surprise put the boundary, stays unless another is better.
    """
    found, count = modularity(keys), len(keys)
    first, end = least, count - least + 1
    if most is not None:
        first, end = max(first, count - most), min(end, most + 1)
    if first >= end:
        return original
    best = first + int(found[first:end].argmax())
    return best if found[best] > found[original] else original
