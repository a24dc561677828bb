"""What boundaries have to beat: the same events in another order, and events of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memagent_bench.data.items import Document, sizes_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["fixed", "shuffled", "shuffled_by_length"]


def shuffled(boundaries: Sequence[int], count: int, source: np.random.Generator) -> tuple[int, ...]:
    """The events between the boundaries among `count` units in random order: its boundaries."""
    sizes = source.permutation(sizes_of(boundaries, count))
    return tuple(sizes.cumsum()[:-1].tolist())


def shuffled_by_length(
    boundaries: Sequence[int], document: Document, source: np.random.Generator
) -> tuple[int, ...]:
    """The same with sizes in characters: long units are met oftener, as any segmenter meets them.

    Two boundaries that belong to one unit are one.
    """
    starts = document.starts
    sizes = sizes_of([starts[unit] for unit in boundaries], len(document.text))
    return document.boundaries(source.permutation(sizes).cumsum()[:-1].tolist())


def fixed(boundaries: int, count: int) -> tuple[int, ...]:
    """So many boundaries among `count` units, of events of one size but for rounding."""
    events = boundaries + 1
    return tuple(round(event * count / events) for event in range(1, events))
