"""How well the best events of the same source match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.base import Signal
from memagent.memory.recall.signals.candidates import Candidates, scaled
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["SourceScore"]

_BEST = 3  # events of a source whose scores are averaged


class SourceScore(Signal):
    """How well the best events of the same source match."""

    name = "source"
    weight: ClassVar[Mapping[Kind, float]] = {"session": 0.15}

    def compute(self, candidates: Candidates) -> np.ndarray:
        import numpy as np

        words = scaled(np.log1p(candidates.words.sum(0))[candidates.pool.rows])
        score = words + candidates.similarity
        source = candidates.pool.source_rows()
        best = np.zeros(len(score))
        for number in range(source.max() + 1):
            inside = source == number
            best[inside] = np.sort(score[inside])[-_BEST:].mean()
        return scaled(best)
