"""How close the day of a turn is to the days that the question names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.language.dates import closeness, day_of
from memagent.memory.recall.signals.base import Signal, of_turns
from memagent.memory.recall.signals.candidates import Candidates
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["When"]


class When(Signal):
    """How close the day of a turn is to the days that the question names."""

    name = "when"
    weight: ClassVar[Mapping[Kind, float]] = {"session": 4.24}

    def compute(self, candidates: Candidates) -> np.ndarray:
        import numpy as np

        days = candidates.days
        if not days:  # most questions: the times of hundreds of turns need not be parsed
            return np.zeros(len(candidates.pool.events))
        return of_turns(candidates, lambda event: closeness(day_of(event.time), days))
