"""The segmentation methods that are compared: the product's, and methods at the scale of topics.

A method sees a document, its surprise and the vectors of its units, and at most the mean size of
the events that people marked in other documents of the set. It never sees the marks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memagent.memory.segmentation.refine import best_cut, modularity
from memagent.memory.segmentation.scorer import Surprise
from memagent.memory.segmentation.sentences import Segmenter, Sentences
from memagent.memory.segmentation.surprising import SurprisingSentences
from memagent_bench.data.items import Document
from memagent_bench.measures.segments.baselines import fixed

if TYPE_CHECKING:
    import numpy as np

__all__ = ["WAYS", "Reading", "dips", "most_modular", "refined", "strongest", "unit_surprise"]

_HEAD = 16  # tokens at the start of a unit that give its surprise, as in SurprisingSentences


@dataclass(frozen=True, slots=True)
class Reading:
    """A document with the output of the models for it.

    `vectors` float32 [units, d] have length 1; `size` is the mean size of an event, in units.
    """

    document: Document
    surprise: Surprise
    vectors: np.ndarray
    size: float

    @property
    def keys(self) -> np.ndarray:
        """The vectors times the word counts of their units [units, d], so each word counts once."""
        import numpy as np

        words = np.array([len(unit.split()) for unit in self.document.units])
        weighed: np.ndarray = self.vectors * words[:, None]
        return weighed

    @property
    def count(self) -> int:
        """Number of boundaries that give events of `size`, at least one."""
        return max(1, round(len(self.vectors) / self.size) - 1)

    @property
    def least(self) -> int:
        """Minimum number of units of an event at the scale of topics: a quarter of `size`."""
        return max(1, round(self.size / 4))


@dataclass(frozen=True, slots=True)
class _Known:
    """A scorer that returns the known surprise of a text."""

    surprise: Surprise
    id: str = "known"

    def score(self, texts: Sequence[str]) -> list[Surprise]:
        return [self.surprise for _ in texts]


def unit_surprise(document: Document, surprise: Surprise) -> np.ndarray:
    """The mean surprise of the first tokens of each unit, in nats: [units]."""
    import numpy as np

    starts = np.array(document.starts)
    ends = starts + [len(unit) for unit in document.units]
    # A token may start with the space before the unit.
    first = np.searchsorted(surprise.offsets[:, 1], starts, "right")
    last = np.searchsorted(surprise.offsets[:, 0], ends, "left")
    last = np.minimum(last, first + _HEAD)
    summed = np.concatenate(([0.0], surprise.nats.astype(np.float64).cumsum()))
    mean: np.ndarray = (summed[last] - summed[first]) / np.maximum(last - first, 1)
    return mean


def strongest(scores: np.ndarray, count: int, apart: int) -> tuple[int, ...]:
    """The `count` units with the highest scores [units] that are at least `apart` units apart.

    The ends of the document count as boundaries. Returns fewer units if there is no room.
    """
    import numpy as np

    chosen = [0, len(scores)]
    for unit in np.argsort(-scores, kind="stable").tolist():
        if len(chosen) == count + 2:
            break
        if all(abs(unit - other) >= apart for other in chosen):
            chosen.append(unit)
    return tuple(sorted(chosen)[1:-1])


def dips(keys: np.ndarray, width: int) -> np.ndarray:
    """How much the `width` units before each unit differ from the units after: [units], 0..2.

    One minus the cosine of the sums of their keys [units, d]: TextTiling (Hearst 1997) with vectors
    instead of word counts.
    """
    import numpy as np

    count = len(keys)
    prefix = np.concatenate((np.zeros((1, keys.shape[1])), keys.astype(np.float64).cumsum(0)))
    place = np.arange(count)
    before = prefix[place] - prefix[np.maximum(place - width, 0)]
    after = prefix[np.minimum(place + width, count)] - prefix[place]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    unlike: np.ndarray = 1 - (before * after).sum(1) / np.maximum(norms, 1e-12)
    return unlike


def most_modular(keys: np.ndarray, count: int, least: int) -> tuple[int, ...]:
    """Cut keys [units, d] in two repeatedly, each time where modularity is highest.

    The piece with the most modular best cut is cut first, until there are `count` cuts; every piece
    keeps at least `least` units.
    """

    def best(start: int, end: int) -> tuple[float, int, int, int]:
        found = modularity(keys[start:end])[least : end - start - least + 1]
        if not len(found):
            return -1.0, start, start, end
        cut = int(found.argmax())
        return float(found[cut]), start + least + cut, start, end

    pieces = [best(0, len(keys))]
    cuts: list[int] = []
    while len(cuts) < count:
        found, cut, start, end = max(pieces)
        if found < 0:
            break
        cuts.append(cut)
        pieces.remove((found, cut, start, end))
        pieces += [best(start, cut), best(cut, end)]
    return tuple(sorted(cuts))


def refined(keys: np.ndarray, boundaries: Sequence[int]) -> tuple[int, ...]:
    """Each boundary moved to the most modular cut between its neighbours, in order."""
    moved = [0, *boundaries, len(keys)]
    for place in range(1, len(moved) - 1):
        before, here, after = moved[place - 1 : place + 2]
        moved[place] = before + best_cut(keys[before:after], here - before)
    return tuple(moved[1:-1])


def _cut(reading: Reading, segmenter: Segmenter) -> tuple[int, ...]:
    events = segmenter.cut(reading.document.text)
    return reading.document.boundaries(start for start, _ in events)


def _surprise(reading: Reading) -> tuple[int, ...]:
    return _cut(reading, SurprisingSentences(_Known(reading.surprise)))


def _size(reading: Reading) -> tuple[int, ...]:
    return _cut(reading, Sentences())


def _strongest_surprise(reading: Reading) -> tuple[int, ...]:
    scores = unit_surprise(reading.document, reading.surprise)
    return strongest(scores, reading.count, reading.least)


def _dips(reading: Reading) -> tuple[int, ...]:
    width = max(1, round(reading.size / 3))
    return strongest(dips(reading.keys, width), reading.count, reading.least)


def _most_modular(reading: Reading) -> tuple[int, ...]:
    return most_modular(reading.keys, reading.count, reading.least)


Way = Callable[[Reading], tuple[int, ...]]
WAYS: Mapping[str, Way] = {
    "surprise": _surprise,
    "size": _size,
    "surprise, refined": lambda reading: refined(reading.keys, _surprise(reading)),
    "size, refined": lambda reading: refined(reading.keys, _size(reading)),
    "strongest surprise": _strongest_surprise,
    "strongest surprise, refined": lambda reading: refined(
        reading.keys, _strongest_surprise(reading)
    ),
    "fixed, refined": lambda reading: refined(
        reading.keys, fixed(reading.count, len(reading.vectors))
    ),
    "similarity dips": _dips,
    "most modular": _most_modular,
}
