"""BM25 of the question's words in an event and the events around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.base import Signal
from memagent.memory.recall.signals.candidates import Candidates, scaled
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["WordsAround"]


class WordsAround(Signal):
    """BM25 of the question's words in an event and the events around it."""

    name = "words around"
    weight: ClassVar[Mapping[Kind, float]] = {"session": 0.44, "document": 0.95}

    def compute(self, candidates: Candidates) -> np.ndarray:
        return scaled(candidates.words_around)
