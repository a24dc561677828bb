"""Documents whose boundaries people have marked. Knows nothing of any set's format.

A document is cut as one text, its units (turns of a meeting, sentences, clauses) a line each; a
boundary is the number of the unit that begins an event, and never 0.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["Document", "sizes_of"]


@dataclass(frozen=True, slots=True)
class Document:
    """Units in order, and the `gold` boundaries: ascending, from 1 to len(units) - 1."""

    name: str
    units: tuple[str, ...]
    gold: tuple[int, ...]

    @property
    def text(self) -> str:
        """The whole, a unit a line."""
        return "\n".join(self.units)

    @property
    def starts(self) -> list[int]:
        """Where each unit begins in the text, in characters."""
        return [0, *accumulate(len(unit) + 1 for unit in self.units[:-1])]

    def boundaries(self, places: Iterable[int]) -> tuple[int, ...]:
        """The units that begin nearest to places in the text, in characters; the first left out."""
        starts = self.starts
        found = set()
        for place in places:
            behind = min(bisect_left(starts, place), len(starts) - 1)
            before = max(behind - 1, 0)
            nearer = place - starts[before] <= starts[behind] - place
            found.add(before if nearer else behind)
        return tuple(sorted(found - {0}))


def sizes_of(boundaries: Iterable[int], count: int) -> list[int]:
    """Sizes of the events between boundaries among `count` units, in units."""
    ends = [*boundaries, count]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
