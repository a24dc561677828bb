"""Whether a turn contains a word for a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.language.dates import mentions_time
from memagent.memory.recall.signals.base import Signal, of_turns
from memagent.memory.recall.signals.candidates import Candidates
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["TimeWords"]


class TimeWords(Signal):
    """Whether a turn contains a word for a time."""

    name = "time"
    weight: ClassVar[Mapping[Kind, float]] = {"session": 0.46}

    def compute(self, candidates: Candidates) -> np.ndarray:
        return of_turns(candidates, lambda event: mentions_time(event.text))
