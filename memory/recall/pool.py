"""The events that may answer a question, and what stands around them.

Ids of events that follow one another in a source follow one another, so that those around an
event are found without a look at the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from memagent.memory.events import Filter
from memagent.memory.recall.language.speakers import speaker
from memagent.memory.store.events import Events
from memagent.types import Event

if TYPE_CHECKING:
    import numpy as np

__all__ = ["REACH", "Pool"]

# Events on each side whose words and vectors count for the one between them.
REACH = 2
_BESIDE = 1  # of a hit: so far others come into question with it


class Pool:
    """`ids` int64 [n], ascending: the events in question and those around them.

    `rows` int64 [m] are the places of the events in question among them. Once they are read,
    `candidates` are these events, and `speakers` who says them, as far as their turns tell.
    """

    def __init__(self, events: Events, hits: Sequence[int]) -> None:
        import numpy as np

        around = range(-_BESIDE - REACH, _BESIDE + REACH + 1)
        near = sorted({hit + step for hit in hits for step in around})
        places = events.sources_of(near)
        self.ids = np.array([place[0] for place in places], dtype=np.int64)
        self._sources = np.array([place[1] for place in places], dtype=np.int64)
        hit = np.isin(self.ids, np.array(hits, dtype=np.int64))
        wanted = hit.copy()
        for distance in range(1, _BESIDE + 1):
            for step in (-distance, distance):
                there, exists = self._shifted(step)
                wanted |= exists & hit[there]
        self.rows = np.flatnonzero(wanted)
        self.candidates: list[Event] = []
        self.speakers: list[str | None] = []

    def narrow(self, score: np.ndarray, most: int) -> None:
        """Leave the `most` events in question with the highest scores [m]; there must be more."""
        import numpy as np

        self.rows = np.sort(self.rows[np.argpartition(-score, most)[:most]])

    def read(self, events: Events, where: Filter) -> None:
        """Look up the events in question, of which those remain that pass the filter."""
        import numpy as np

        found = events.with_openings(self.ids[self.rows].tolist(), where)
        self.candidates = [event for event, _ in found]
        self.speakers = [
            speaker(opening) if event.kind == "session" else None for event, opening in found
        ]
        kept = np.array([event.id for event in self.candidates], dtype=np.int64)
        self.rows = np.searchsorted(self.ids, kept)

    def spread(
        self, values: np.ndarray, weights: Sequence[float], join: Callable[..., np.ndarray]
    ) -> np.ndarray:
        """Values [n, ...] of the events in question [m, ...], joined with those of the events
        around, times their weights: that of the next ones first. Only events of the same source
        stand around one."""

        joined = values[self.rows]
        for distance, weight in enumerate(weights, start=1):
            for step in (-distance, distance):
                there, exists = self._shifted(step)
                share = (weight * exists).astype(values.dtype)[self.rows]
                beside = values[there[self.rows]]
                joined = join(joined, share.reshape(-1, *[1] * (values.ndim - 1)) * beside)
        return joined

    def neighbours(self, values: np.ndarray, reach: int) -> np.ndarray:
        """For each event in question the mean of the values [m] of so many others on each side, of
        the same source; those that are not in question count as 0."""
        import numpy as np

        every = np.zeros(len(self.ids))
        every[self.rows] = values
        joined = self.spread(every, [1.0] * reach, np.add)
        mean: np.ndarray = (joined - values) / (2 * reach)
        return mean

    def source_rows(self) -> np.ndarray:
        """For each candidate the number of its source, int64 [m], counted from 0."""
        import numpy as np

        numbers: np.ndarray = np.unique(self._sources[self.rows], return_inverse=True)[1]
        return numbers

    def _shifted(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The place of the event `step` further on, and whether it is there, in the same source."""
        import numpy as np

        there = np.minimum(np.searchsorted(self.ids, self.ids + step), max(len(self.ids) - 1, 0))
        same = self._sources[there] == self._sources
        return there, same & (self.ids[there] == self.ids + step)
