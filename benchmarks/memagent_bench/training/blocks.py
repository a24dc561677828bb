"""Where landmark tokens stand: one closes every block, as a stream puts them in when it reads.

A block is BLOCK slots, the last of which holds the landmark. Landmarks are not predicted, and they
predict nothing: what follows a block is predicted at its last token of text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "close_blocks", "places", "room"]

BLOCK = 64

Ids = NDArray[np.int64]


def room(context: int) -> int:
    """Tokens of text in `context` slots, whole blocks."""
    if context % BLOCK:
        raise ValueError(f"a context with landmarks is whole blocks of {BLOCK}, not {context}")
    return context // BLOCK * (BLOCK - 1)


def places(count: int) -> Ids:
    """The slot of each of `count` tokens of text."""
    token = np.arange(count)
    return token + token // (BLOCK - 1)


def close_blocks(ids: Ids, landmark: int) -> Ids:
    """Rows of text [n, T] with a landmark behind every BLOCK - 1 tokens, a last full block too."""
    rows, count = ids.shape
    closed = np.full((rows, count + count // (BLOCK - 1)), landmark, dtype=ids.dtype)
    closed[:, places(count)] = ids
    return closed
