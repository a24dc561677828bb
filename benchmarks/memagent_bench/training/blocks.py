"""Positions of landmark tokens: one ends every block, as in a stream.

A block is BLOCK slots, and the landmark is in the last one. Landmarks are not predicted and predict
nothing: the last text token of a block predicts what follows the block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "close_blocks", "places", "room"]

BLOCK = 64

Ids = NDArray[np.int64]


def room(context: int) -> int:
    """Number of text tokens in `context` slots of whole blocks."""
    if context % BLOCK:
        raise ValueError(f"a context with landmarks is whole blocks of {BLOCK}, not {context}")
    return context // BLOCK * (BLOCK - 1)


def places(count: int) -> Ids:
    """The slot of each of `count` tokens of text."""
    token = np.arange(count)
    return token + token // (BLOCK - 1)


def close_blocks(ids: Ids, landmark: int) -> Ids:
    """Rows of text [n, T] with a landmark after every BLOCK - 1 tokens, even after the last."""
    rows, count = ids.shape
    closed = np.full((rows, count + count // (BLOCK - 1)), landmark, dtype=ids.dtype)
    closed[:, places(count)] = ids
    return closed
