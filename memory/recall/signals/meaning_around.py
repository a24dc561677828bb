"""Similarity of the question to an event and the events around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.base import Signal
from memagent.memory.recall.signals.candidates import Candidates, scaled
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MeaningAround"]


class MeaningAround(Signal):
    """Similarity of the question to an event and the events around it."""

    name = "meaning around"
    weight: ClassVar[Mapping[Kind, float]] = {"session": 0.32, "document": 0.52}

    def compute(self, candidates: Candidates) -> np.ndarray:
        return scaled(candidates.vectors_around @ candidates.asked)
