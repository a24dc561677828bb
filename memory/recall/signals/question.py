"""Whether a turn ends with a question mark: questions seldom hold the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.base import Signal, of_turns
from memagent.memory.recall.signals.candidates import Candidates
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Question"]


class Question(Signal):
    """Whether a turn ends with a question mark: questions seldom hold the answer."""

    name = "question"
    weight: ClassVar[Mapping[Kind, float]] = {"session": -0.7}

    def compute(self, candidates: Candidates) -> np.ndarray:
        return of_turns(candidates, lambda event: event.text.rstrip().endswith("?"))
