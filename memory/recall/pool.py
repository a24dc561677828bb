"""The events that may answer a question, and the events around them.

Consecutive events of a source have consecutive ids, so the events around an event are found
without reading any text.
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

# Events on each side whose words and vectors count for the event between them.
REACH = 2
_NEIGHBOURS = 1  # events on each side of a hit that become candidates with it


class Pool:
    """The candidates of a question and the events around them.

    `ids` int64 [n] are the ids of all of them, ascending; `rows` int64 [m] are the positions of the
    candidates among these. After `read`, `events` holds the candidates, and `speakers` the speaker
    of each, None where the turn does not name one.
    """

    def __init__(self, events: Events, hits: Sequence[int]) -> None:
        import numpy as np

        around = range(-_NEIGHBOURS - REACH, _NEIGHBOURS + REACH + 1)
        near = sorted({hit + step for hit in hits for step in around})
        places = events.sources_of(near)
        self.ids = np.array([place[0] for place in places], dtype=np.int64)
        self._sources = np.array([place[1] for place in places], dtype=np.int64)
        hit = np.isin(self.ids, np.array(hits, dtype=np.int64))
        wanted = hit.copy()
        for distance in range(1, _NEIGHBOURS + 1):
            for step in (-distance, distance):
                there, exists = self._shifted(step)
                wanted |= exists & hit[there]
        self.rows = np.flatnonzero(wanted)
        self.events: list[Event] = []
        self.speakers: list[str | None] = []

    def narrow(self, score: np.ndarray, most: int) -> None:
        """Keep the `most` candidates with the highest scores [m]; there must be more than that."""
        import numpy as np

        self.rows = np.sort(self.rows[np.argpartition(-score, most)[:most]])

    def read(self, events: Events, where: Filter) -> None:
        """Read the candidates from the store and keep those that pass the filter."""
        import numpy as np

        found = events.with_openings(self.ids[self.rows].tolist(), where)
        self.events = [event for event, _ in found]
        self.speakers = [
            speaker(opening) if event.kind == "session" else None for event, opening in found
        ]
        kept = np.array([event.id for event in self.events], dtype=np.int64)
        self.rows = np.searchsorted(self.ids, kept)

    def spread(
        self, values: np.ndarray, weights: Sequence[float], join: Callable[..., np.ndarray]
    ) -> np.ndarray:
        """The candidates' `values` [n, ...], joined with those of the events around: [m, ...].

        `weights` are factors for the events at distance 1, 2 and so on, in the same source.
        """

        joined = values[self.rows]
        for distance, weight in enumerate(weights, start=1):
            for step in (-distance, distance):
                there, exists = self._shifted(step)
                share = (weight * exists).astype(values.dtype)[self.rows]
                neighbour = values[there[self.rows]]
                joined = join(joined, share.reshape(-1, *[1] * (values.ndim - 1)) * neighbour)
        return joined

    def neighbours(self, values: np.ndarray, reach: int) -> np.ndarray:
        """For each candidate the mean of `values` [m] over `reach` events on each side.

        Events that are not candidates, or of another source, count as 0.
        """
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
        """The position of the event `step` further on, and whether the same source has one."""
        import numpy as np

        there = np.minimum(np.searchsorted(self.ids, self.ids + step), max(len(self.ids) - 1, 0))
        same = self._sources[there] == self._sources
        return there, same & (self.ids[there] == self.ids + step)
