"""1 if the question names the speaker, -1 if it names only others, 0 if it names nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from memagent.memory.recall.signals.base import Signal
from memagent.memory.recall.signals.candidates import Candidates
from memagent.types import Kind

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Speaker"]


class Speaker(Signal):
    """1 if the question names the speaker, -1 if it names only others, 0 if it names nobody."""

    name = "speaker"
    weight: ClassVar[Mapping[Kind, float]] = {"session": 1.28}

    def compute(self, candidates: Candidates) -> np.ndarray:
        import numpy as np

        named = candidates.named_speakers
        other = -1.0 if named else 0.0
        return np.array([1.0 if name in named else other for name in candidates.pool.speakers])
