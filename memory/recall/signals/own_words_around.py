"""Similarity of an event with its surroundings to the question in first person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.base import Signal
from memagent.memory.recall.signals.candidates import Candidates, scaled
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["OwnWordsAround"]


class OwnWordsAround(Signal):
    """Similarity of an event with its surroundings to the question in first person."""

    name = "own words around"
    weight: ClassVar[Mapping[Kind, float]] = {"session": 0.48}

    def compute(self, candidates: Candidates) -> np.ndarray:
        return scaled(candidates.vectors_around @ candidates.in_first_person)
