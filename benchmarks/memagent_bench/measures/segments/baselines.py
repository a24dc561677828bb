"""Baselines for boundaries: the same events in random order, and events of equal size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memagent_bench.data.items import Document, sizes_of

if TYPE_CHECKING:
    import numpy as np

__all__ = ["fixed", "shuffled", "shuffled_by_length"]


def shuffled(boundaries: Sequence[int], count: int, source: np.random.Generator) -> tuple[int, ...]:
    """The boundaries of the same events among `count` units, in random order."""
    sizes = source.permutation(sizes_of(boundaries, count))
    return tuple(sizes.cumsum()[:-1].tolist())


def shuffled_by_length(
    boundaries: Sequence[int], document: Document, source: np.random.Generator
) -> tuple[int, ...]:
    """The same with sizes in characters, so long units are hit more often, as by any segmenter.

    Two boundaries in the same unit count as one.
    """
    starts = document.starts
    sizes = sizes_of([starts[unit] for unit in boundaries], len(document.text))
    return document.boundaries(source.permutation(sizes).cumsum()[:-1].tolist())


def fixed(boundaries: int, count: int) -> tuple[int, ...]:
    """This many boundaries among `count` units, with events of equal size up to rounding."""
    events = boundaries + 1
    return tuple(round(event * count / events) for event in range(1, events))
