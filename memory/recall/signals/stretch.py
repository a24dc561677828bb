"""How well the longer passage around an event matches the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.base import Signal
from memagent.memory.recall.signals.candidates import Candidates
from memagent.memory.recall.signals.meaning_around import MeaningAround
from memagent.memory.recall.signals.words_around import WordsAround
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Stretch"]

_REACH = 4  # events on each side


class Stretch(Signal):
    """How well the longer passage around an event matches the question."""

    name = "stretch"
    weight: ClassVar[Mapping[Kind, float]] = {"session": 0.12, "document": 0.24}

    def compute(self, candidates: Candidates) -> np.ndarray:
        words = WordsAround().compute(candidates)
        meaning = MeaningAround().compute(candidates)
        return candidates.pool.neighbours(words + meaning, _REACH)
